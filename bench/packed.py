"""Trials per hour of a pack beside trials one after another and beside what public training scripts run, on this GPU.

    python bench/packed.py --out docs/packed.json             # Z-Image at 512x512, packs of 4, 8 and 1
    python bench/packed.py --all --out docs/packed.json       # three models, 512 and 1024, packs of 1 to 16
    python bench/packed.py --checkpointed 0 --out docs/packed.json    # blocks keep what the backward pass needs
    python bench/packed.py --read docs/packed.json            # prints the tables, draws the picture

Each case runs in a process of its own. Those of a wave are made ready side by side, which is where the time goes
(imports, compiling), and then timed one after another, alone on the card. Random weights of the true shapes, LoRA on
attention, one picture per trial and step. A packed trial is a thread with loralab's own objective, clipping and fused
AdamW; the reference and a trial alone are the steps of `bench/step.py`. A trial is 1,000 steps.

The reference and packs of 4 and 8 come first, of every model, then packs of 16 and trials alone, then the rest of this
resolution, then the next resolution. A row is in the file as soon as it is measured, and `--stop-after-s` ends a call
in time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from bench.memory_speed import RANKS, Reference, case  # noqa: E402  found through the line above
from bench.packed_picture import draw  # noqa: E402  found above
from bench.packed_tables import tables  # noqa: E402  found above
from bench.packed_wave import keep, run_waves, waves  # noqa: E402  found above
from bench.planner_error import prediction  # noqa: E402  found above
from bench.shapes import Case, to_json  # noqa: E402  found above
from bench.timing import GIB, WAIT_S  # noqa: E402  found above

from loralab.memory.plan.coefficients import measured  # noqa: E402  found above
from loralab.planning.packed import packed_bytes  # noqa: E402  found above

STAGES = ((4, 8), (16, 0))
"""Widths in the order of their weight: the goal is stated for the first, beside the reference; the rest comes last."""
SHOWN = ("ms", "peak_gib", "ready_s", "num_graphs", "passes", "failed")
ANY_CARD = "NVIDIA H200"
"""Memory that is needed is predicted alike for all cards."""
ROOM_GIB = 2.0
"""Of a process: CUDA itself, and what the allocator keeps beyond the peak."""
KEY = ("device", "width", *Case.__dataclass_fields__)
Row = dict[str, Any]


def main() -> None:
    """Measures what is asked for, or reads what was measured."""
    started = time.monotonic()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="*", default=["zimage_turbo"], choices=list(RANKS))
    parser.add_argument("--resolutions", nargs="*", type=int, default=[512])
    parser.add_argument("--widths", nargs="*", type=int, default=[1, 4, 8])
    parser.add_argument("--kinds", nargs="*", default=["int8"], choices=["bf16", "int8", "fp8"])
    parser.add_argument(
        "--checkpointed",
        nargs="*",
        type=float,
        default=[1.0],
        help="shares of the blocks; 0 keeps everything",
    )
    parser.add_argument("--all", action="store_true", help="every model, resolution and width")
    parser.add_argument("--side-by-side", type=int, default=3, help="processes of a wave, at most")
    parser.add_argument(
        "--card-gib", type=float, default=72.0, help="that a wave must fit on, as the planner predicts"
    )
    parser.add_argument(
        "--limit-s", type=float, default=WAIT_S, help=f"until a case is ready to be timed; at most {WAIT_S:g}"
    )
    parser.add_argument("--stop-after-s", type=float, default=float("inf"), help="of the whole call")
    parser.add_argument("--out", type=Path, help="JSON file; other rows in it stay")
    parser.add_argument("--read", type=Path, help="JSON file to make tables and picture of")
    arguments = parser.parse_args()
    if not 0 < arguments.limit_s <= WAIT_S:
        parser.error(
            f"--limit-s {arguments.limit_s:g}: who is ready waits {WAIT_S:g} s for the others, no longer"
        )
    if arguments.all:
        arguments.models, arguments.resolutions, arguments.widths = [*RANKS], [512, 1024], [1, 2, 4, 8, 16]
    if arguments.read:
        known = json.loads(arguments.read.read_text())
        print(tables(known))
        draw(known, arguments.read.with_suffix(".png"))
    else:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # and what runs is ended
        _measure_all(arguments, end=started + arguments.stop_after_s)


def _measure_all(arguments: argparse.Namespace, *, end: float) -> None:
    cases = [
        one
        for model in arguments.models
        for resolution in arguments.resolutions
        for one in _cases(
            model, resolution, arguments.widths, kinds=arguments.kinds, shares=arguments.checkpointed
        )
    ]
    rows: list[Row] = []
    found = waves(
        _in_order(cases, arguments.models),
        most=arguments.side_by_side,
        guess_gib=_needs_gib,
        limit_gib=arguments.card_gib,
    )
    for row in run_waves(found, _programs, limit_s=arguments.limit_s, end=end):
        rows.append(row)
        _show(row)
        if arguments.out:
            keep(rows, arguments.out, fields=KEY)
    print(tables(rows))


def _cases(
    model: str, resolution: int, widths: Sequence[int], *, kinds: Sequence[str], shares: Sequence[float]
) -> list[Row]:
    """Gives the reference, a trial alone and packs of every width; width 0 is no pack."""
    reference = case(model, Reference, resolution=resolution)
    found: list[Row] = [{"case": reference, "width": 0}]
    for kind, share in itertools.product(kinds, shares):
        kept = {"checkpointed_blocks": share} if share else {"checkpointing": "none"}
        own = case(model, {"kind": kind, "low_bit": kind != "bf16"}, kept, resolution=resolution)
        found += [{"case": own, "width": width} for width in (0, *widths)]
    return found


def _in_order(cases: Sequence[Row], models: Sequence[str]) -> list[Row]:
    """Puts what the goal is stated for before the rest, of every model."""

    def rank(one: Row) -> tuple[int, int, int]:
        own: Case = one["case"]
        stage = next((place for place, widths in enumerate(STAGES) if one["width"] in widths), len(STAGES))
        return own.resolution, 0 if own.variant == "reference" else stage, models.index(own.model)

    return sorted(cases, key=rank)


def _needs_gib(one: Row) -> float:
    """Gives what a case holds: the reference about its weights in bf16, all others as the planner predicts."""
    own: Case = one["case"]
    if own.variant == "reference":
        return {"flux2_klein4b": 8.0, "flux2_klein9b": 18.5, "zimage_turbo": 12.5}[own.model] + 3
    row = {**vars(own), "tokens": own.tokens, "device": ANY_CARD, "width": max(1, one["width"])}
    return predicted_gib(row) + ROOM_GIB


def predicted_gib(row: Row) -> float:
    """Gives the peak of a measured pack, or of one to be measured, as the planner predicts it."""
    width = row["width"]
    alone, placement, _ = prediction(row, measured())
    together, _, _ = prediction({**row, "batch": width * row["batch"]}, measured())
    bytes_ = packed_bytes(together, alone, placement=placement, width=width, accumulates=False)
    return bytes_ / GIB


def _programs(wave: Sequence[Row]) -> list[list[str]]:
    return [_program(to_json(one["case"]), one["width"]) for one in wave]


def _program(case: str, width: int) -> list[str]:
    if width:
        return [str(ROOT / "bench" / "packed_step.py"), case, str(width)]
    return [str(ROOT / "bench" / "step.py"), case]


def _show(row: Row) -> None:
    shown = {key: row[key] for key in SHOWN if key in row}
    print(row["model"], row["label"], row["resolution"], row["width"], json.dumps(shown), flush=True)


if __name__ == "__main__":
    main()
