"""Trials per hour of a pack beside trials one after another and beside what public training scripts run, on this GPU.

    python bench/packed.py --out docs/packed.json             # Z-Image at 512x512, packs of 1, 4 and 8
    python bench/packed.py --all --out docs/packed.json       # three models, 512 and 1024, packs of 1 to 16
    python bench/packed.py --read docs/packed.json            # prints the tables

Each case runs in a process of its own. Those of a wave are made ready side by side, which is where the time goes
(imports, compiling), and then timed one after another, alone on the card. Random weights of the true shapes, LoRA on
attention, one picture per trial and step. A packed trial is a thread with loralab's own objective, clipping and fused
AdamW; the reference and a trial alone are the steps of `bench/step.py`. A trial is 1,000 steps.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from bench.memory_speed import RANKS, Reference, case  # noqa: E402  found through the line above
from bench.packed_tables import tables  # noqa: E402
from bench.shapes import Case, to_json  # noqa: E402

WAVE_GIB = 72.0
"""How much the processes of a wave may hold together, by a rough guess: the card has 80."""
Row = dict[str, Any]


def main() -> None:
    """Measures what is asked for, or reads what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="*", default=["zimage_turbo"], choices=list(RANKS))
    parser.add_argument("--resolutions", nargs="*", type=int, default=[512])
    parser.add_argument("--widths", nargs="*", type=int, default=[1, 4, 8])
    parser.add_argument("--kinds", nargs="*", default=["int8"], choices=["bf16", "int8", "fp8"])
    parser.add_argument("--all", action="store_true", help="every model, resolution and width")
    parser.add_argument("--limit-s", type=float, default=190.0, help="of a wave")
    parser.add_argument("--out", type=Path, help="JSON file; other rows in it stay")
    parser.add_argument("--read", type=Path, help="JSON file to print the tables of")
    arguments = parser.parse_args()
    if arguments.all:
        arguments.models, arguments.resolutions, arguments.widths = [*RANKS], [512, 1024], [1, 2, 4, 8, 16]
    if arguments.read:
        print(tables(json.loads(arguments.read.read_text())))
    else:
        _measure_all(arguments)


def _measure_all(arguments: argparse.Namespace) -> None:
    rows: list[Row] = []
    for model in arguments.models:
        for resolution in arguments.resolutions:
            for wave in _waves(_cases(model, resolution, widths=arguments.widths, kinds=arguments.kinds)):
                rows += _run_wave(wave, limit_s=arguments.limit_s)
                if arguments.out:
                    _keep(rows, arguments.out)
    print(tables(rows))


def _cases(model: str, resolution: int, *, widths: Sequence[int], kinds: Sequence[str]) -> list[Row]:
    """Gives the reference, a trial alone and packs of every width; width 0 is no pack."""
    reference = case(model, Reference, resolution=resolution)
    found: list[Row] = [{"case": reference, "width": 0}]
    for kind in kinds:
        own = case(model, {"kind": kind, "low_bit": kind != "bf16"}, resolution=resolution)
        found += [{"case": own, "width": width} for width in (0, *widths)]
    return found


def _waves(cases: Sequence[Row]) -> list[list[Row]]:
    """Puts cases that fit on the card together into waves."""
    waves: list[list[Row]] = [[]]
    for one in cases:
        if waves[-1] and sum(map(_guess_gib, (*waves[-1], one))) > WAVE_GIB:
            waves.append([])
        waves[-1].append(one)
    return waves


def _guess_gib(one: Row) -> float:
    """Guesses high what a case holds: the base, a GiB and its activations for each trial."""
    own: Case = one["case"]
    base = {"flux2_klein4b": 8.0, "flux2_klein9b": 18.5, "zimage_turbo": 12.5}[own.model]
    share = 1.0 if own.kind == "bf16" or own.variant == "reference" else 0.55
    return base * share + 1 + max(1, one["width"]) * (1.2 + own.resolution / 1024)


def _run_wave(wave: Sequence[Row], *, limit_s: float) -> list[Row]:
    started, folder = time.monotonic(), f"{tempfile.mkdtemp()}/ready"
    processes = []
    for one in wave:
        own, shared = to_json(one["case"]), [folder, str(len(wave))]
        program = [str(ROOT / "bench" / "step.py"), own, *shared]
        if one["width"]:
            program = [str(ROOT / "bench" / "packed_step.py"), own, str(one["width"]), *shared]
        process = subprocess.Popen(
            [sys.executable, *program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        processes.append(process)
    rows = []
    for one, process in zip(wave, processes, strict=True):
        try:
            output, _ = process.communicate(timeout=max(1.0, limit_s - (time.monotonic() - started)))
        except subprocess.TimeoutExpired:
            process.kill()
            output = process.communicate()[0] + f"\nno result after {limit_s:.0f} s"
        found = [line[4:] for line in output.splitlines() if line.startswith("ROW ")]
        row = json.loads(found[-1]) if found else {**vars(one["case"]), "failed": output[-600:]}
        rows.append({**row, "width": one["width"]})
        shown = {key: row.get(key) for key in ("ms", "peak_gib", "ready_s", "num_graphs", "failed")}
        print(
            one["case"].model,
            one["case"].label,
            one["case"].resolution,
            one["width"],
            json.dumps(shown),
            flush=True,
        )
    return rows


def _keep(rows: Sequence[Row], path: Path) -> None:
    names = ("device", "width", *Case.__dataclass_fields__)
    keys = [[row.get(name) for name in names] for row in rows]
    before: list[Row] = json.loads(path.read_text()) if path.is_file() else []
    kept = [row for row in before if [row.get(name) for name in names] not in keys]
    path.write_text(json.dumps([*kept, *rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
