"""Tables of `bench/packed_equality.py`: how far a packed trial is from itself alone, and that from itself once more."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.packed_tables import failure_of

OPTIMIZERS = ("adamw", "prodigy", "adamw8bit", "adafactor", "muon", "lion8bit", "schedule_free")
PRECISIONS = ("fp32", "bf16", "int8")
NAMES = ("attention", "attention and MLP", "all layers, rank 2", "orthogonal start")
"""What the trials of `tests.packed.trials.TRIALS` are called, in their order."""
COMPARISONS = {"packed": "packed", "again": "alone again", "one_by_one": "one by one"}
"""What is compared with a trial alone, and how a column is headed; all but the first are the spread."""
GROUP = ("device", "torch", "model", "num_steps")
Row = Mapping[str, Any]


def tables(rows: Sequence[Row]) -> str:
    """Gives two tables, of adapters and of last losses, for each device, torch, model and number of steps."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in sorted(rows, key=_place):
        groups.setdefault(tuple(row[name] for name in GROUP), []).append(row)
    return "\n\n".join(
        f"{what}, {model} on {device}, torch {version}, {num_steps} steps:\n\n{_table(group, quantity)}"
        for (device, version, model, num_steps), group in groups.items()
        for quantity, what in (("weights", "Adapter"), ("loss", "Last loss"))
    )


def times_spread(row: Row, quantity: str) -> float:
    """Gives a packed trial's distance from itself alone as a multiple of the largest between runs alone."""
    found = row[quantity]
    spread = max(found[name] for name in COMPARISONS if name != "packed")
    if not spread:
        return math.inf if found["packed"] else 0.0
    return float(found["packed"] / spread)


def _table(rows: Sequence[Row], quantity: str) -> str:
    precisions = _distinct(row["precision"] for row in rows)
    heads = [f"{precision}: {head}" for precision in precisions for head in COMPARISONS.values()]
    known = {(row["optimizer"], row["trial"], row["precision"]): row for row in rows}
    lines = [
        [optimizer, trial, *(cell for one in precisions for cell in _cells(known.get((*key, one)), quantity))]
        for key in _distinct((row["optimizer"], row["trial"]) for row in rows)
        for optimizer, trial in [key]
    ]
    table = [["optimizer", "trial", *heads], ["---"] * (2 + len(heads)), *lines]
    return "\n".join(["| " + " | ".join(line) + " |" for line in table] + ["", *_summary(rows, quantity)])


def _cells(row: Row | None, quantity: str) -> list[str]:
    """Gives the distances of a row, that of the pack bold where it is above the spread."""
    if row is None or "failed" in row:
        return ["not measured" if row is None else failure_of(row), *[""] * (len(COMPARISONS) - 1)]
    packed, *spread = (_number(row[quantity][name]) for name in COMPARISONS)
    return [f"**{packed}**" if times_spread(row, quantity) > 1 else packed, *spread]


def _summary(rows: Sequence[Row], quantity: str) -> Iterator[str]:
    """Yields a sentence for each precision: how often and how far a pack is beyond the spread."""
    for precision in _distinct(row["precision"] for row in rows):
        own = [row for row in rows if row["precision"] == precision and "failed" not in row]
        times = [times_spread(row, quantity) for row in own]
        if times:
            above = sum(one > 1 for one in times)
            middle = statistics.median(times)
            yield (
                f"{precision}: the pack is farther than the spread in {above} of {len(times)} rows;"
                f" {middle:.2g} times it in the middle, {max(times):.2g} at most."
            )


def _number(value: float) -> str:
    return f"{value:.1e}".replace("e-0", "e-").replace("e+00", "") if value else "0"


def _place(row: Row) -> tuple[int, int, int]:
    """Gives a row's place in its tables: processes side by side end in any order."""
    return OPTIMIZERS.index(row["optimizer"]), NAMES.index(row["trial"]), PRECISIONS.index(row["precision"])


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
