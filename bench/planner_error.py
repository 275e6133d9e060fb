"""How far the planner's predictions are from what bench/memory_speed.py measured, and its coefficients from them.

    python bench/planner_error.py --measured docs/memory_speed.json --out docs/planner_error.md
    python bench/planner_error.py --measured docs/memory_speed.json --fit      # rewrites the coefficients first

Needs no GPU. Peaks are fitted so that the largest error about +1.5 %, the middle of what is allowed (-2 % to +5 %), is
the smallest that can be had; times by least squares of relative errors, both on the cases of the first case's card.
Coefficients without a measurement stay. Cases of every card are in the table.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from bench.configs import save_configs  # noqa: E402  found through the line above
from bench.planner_fit import AIM, Case, fitted, hidden_share, host_us  # noqa: E402
from bench.tables import by_card  # noqa: E402

from loralab.memory import Placement  # noqa: E402
from loralab.memory.plan import Adapter, Peaks, Subject, Tokens, cards  # noqa: E402
from loralab.memory.plan.coefficients import Measured, from_json  # noqa: E402
from loralab.memory.plan.coefficients import measured as shipped  # noqa: E402
from loralab.memory.plan.roofline import Roofline  # noqa: E402

COEFFICIENTS = ROOT / "src" / "loralab" / "memory" / "plan" / "measured.json"
GIB = 2**30
LOWEST, HIGHEST = -0.02, 0.05
Row = dict[str, Any]


def main() -> None:
    """Prints predictions beside measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = [
        row
        for row in json.loads(arguments.measured.read_text())
        if row["variant"] == "ours" and "failed" not in row
    ]
    if arguments.fit:
        content = refitted(rows, json.loads(COEFFICIENTS.read_text()))
        content["source"] = (
            f"bench/planner_error.py --fit of {arguments.measured.name}, on {rows[0]['device']}"
        )
        COEFFICIENTS.write_text(json.dumps(content, indent=1) + "\n")
    text = table(rows, from_json(json.loads(COEFFICIENTS.read_text())))
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


def refitted(rows: list[Row], content: dict[str, Any]) -> dict[str, Any]:
    """Gives new coefficients of the first case's card; times depend a little on the share of copies that is hidden.

    That share depends on times in turn.
    """
    rows = [row for row in rows if row["device"] == rows[0]["device"]]
    for _ in range(3):
        content = fitted(content, cases_of(rows, content))
        content["host"] = host_us(cases_of(rows, content), content["host"])
        content["efficiency"]["overlap"] = hidden_share(cases_of(rows, content), content)
    return content


def largest_error(rows: list[Row], content: dict[str, Any]) -> float:
    """Gives the largest distance of a peak from the middle of what is allowed."""
    pairs = [
        (peaks.step(placement) / GIB, row["peak_gib"]) for row, peaks, placement, _ in cases_of(rows, content)
    ]
    return max(abs(predicted / measured - AIM) for predicted, measured in pairs)


def cases_of(rows: list[Row], content: dict[str, Any]) -> list[Case]:
    """Gives the rows with what predicts them under these coefficients."""
    return [(row, *prediction(row, from_json(content))) for row in rows]


def prediction(row: Row, measured: Measured) -> tuple[Peaks, Placement, Roofline]:
    """Gives what predicts a case."""
    placement = Placement(
        device=torch.device("cuda"),
        dtype=torch.bfloat16,
        kind=None if row["kind"] == "bf16" else row["kind"],
        low_bit=row["low_bit"],
        checkpointing=row["checkpointing"],
        compile=row["compile"],
        checkpointed_blocks=row.get("checkpointed_blocks", 1.0),
        offload_blocks=row["offload_blocks"],
        offload_activations=row["offload_activations"],
    )
    keys = ("model", "rank", "batch", "resolution", "tokens")
    peaks = copy.copy(shaped(row.get("targets", "attention"), *(row[key] for key in keys)))
    peaks.measured = measured
    return peaks, placement, Roofline(peaks, cards.named(row["device"]))


@functools.cache
def shaped(targets: str, name: str, rank: int, batch: int, resolution: int, num_tokens: int) -> Peaks:
    """Gives what follows from shapes, which takes the time."""
    blueprint, pattern = model(name, targets)
    picture = blueprint.padded((resolution // 16) ** 2)
    tokens = Tokens(picture, num_tokens - picture)
    return Peaks(Subject(blueprint, Adapter(rank, pattern), tokens, batch), shipped())


@functools.cache
def model(name: str, targets: str) -> tuple[Any, str]:
    """Gives a model's blueprint and the pattern of its targets."""
    from bench.shapes import KLEIN

    from loralab.denoiser import Sampling
    from loralab.families.flux2_klein import Flux2Klein
    from loralab.families.z_image import ZImage

    family: Any = Flux2Klein if name in KLEIN else ZImage
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = str(save_configs(name, Path(folder)))
        denoiser = family(name=name, checkpoint=checkpoint, sampling=Sampling(1, 0, 64, 64))
        return denoiser.blueprint(), denoiser.target_pattern(targets)


def table(rows: list[Row], measured: Measured) -> str:
    """Gives the errors as Markdown, a table for each card, the largest errors below it."""
    return "\n\n".join(f"{card}:\n\n{_table(own, measured)}" for card, own in by_card(rows).items())


def _table(rows: list[Row], measured: Measured) -> str:
    lines = [
        "| case | peak GiB: predicted | measured | error | ms: predicted | measured | error |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    errors: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        peaks, placement, roofline = prediction(row, measured)
        peak, time = peaks.step(placement) / GIB, 1000 * roofline.step_s(placement)
        errors["peak"].append(peak / row["peak_gib"] - 1)
        errors["time"].append(time / row["ms"] - 1)
        name = (
            f"{row['model']} r{row['rank']}, {row['batch']} x {row['resolution']}², {placement.described()}"
        )
        lines.append(
            f"| {name} | {peak:.2f} | {row['peak_gib']:.2f} | {errors['peak'][-1]:+.1%} | {time:.0f} | {row['ms']:.0f}"
            f" | {errors['time'][-1]:+.1%} |"
        )
    inside = sum(LOWEST <= error <= HIGHEST for error in errors["peak"])
    lines += [
        "",
        f"Peak: {inside} of {len(rows)} within {LOWEST:+.0%} and {HIGHEST:+.0%};" + _span(errors["peak"]),
    ]
    return "\n".join([*lines, "", "Time:" + _span(errors["time"])])


def _span(errors: list[float]) -> str:
    return f" lowest {min(errors):+.1%}, highest {max(errors):+.1%}."


if __name__ == "__main__":
    main()
