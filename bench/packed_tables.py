"""Tables of `bench/packed.py`: trials per hour, and how many times those of the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.packed_wave import OUT_OF_TIME

TRIAL_STEPS = 1000
HEAD = (
    "| what | step, ms | trials per hour | x reference | x alone | peak GiB | x memory |",
    "| --- | --- | --- | --- | --- | --- | --- |",
)
Row = Mapping[str, Any]


def tables(rows: Sequence[Row]) -> str:
    """Gives a table for each card, model and resolution, with a sentence on what it is of."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.get("device"), row["model"], row["resolution"], row["rank"]), []).append(row)
    return "\n\n".join(_table(key, group) for key, group in groups.items())


def trials_per_hour(row: Row) -> float | None:
    """Counts trials of 1,000 steps; None where the case failed."""
    if "ms" not in row:
        return None
    return max(1, row["width"]) * 3600 / (TRIAL_STEPS * row["ms"] / 1000)


def _table(key: tuple[Any, ...], rows: Sequence[Row]) -> str:
    device, model, resolution, rank = key
    reference = next((row for row in rows if row["variant"] == "reference"), None)
    alone = {_label(row): row for row in rows if row["width"] == 0 and row["variant"] != "reference"}
    lines = [_line(row, reference=reference, alone=alone.get(_label(row))) for row in rows]
    return "\n".join([f"{model} r{rank}, {resolution}x{resolution}, {device}:", "", *HEAD, *lines])


def _line(row: Row, *, reference: Row | None, alone: Row | None) -> str:
    label = _label(row)
    what = label if row["variant"] == "reference" else f"{label}, {_arrangement(row['width'])}"
    speed = trials_per_hour(row)
    if speed is None:
        return f"| {what} | {failure_of(row)} | | | | | |"
    of_alone = None if row["variant"] == "reference" else alone
    cells = [
        what,
        f"{row['ms']:.0f}",
        f"{speed:.2f}",
        _ratio(speed, trials_per_hour(reference or {})),
        _ratio(speed, trials_per_hour(of_alone or {})),
        f"{row['peak_gib']:.2f}",
        _ratio(row["peak_gib"], (reference or {}).get("peak_gib")),
    ]
    return "| " + " | ".join(cells) + " |"


def _label(row: Row) -> str:
    return str(row.get("label", row["kind"]))  # a row that failed early may have none


def failure_of(row: Row) -> str:
    """Gives the last line of what went wrong, without what would end a cell."""
    last = (str(row.get("failed", "")).strip().splitlines() or [""])[-1][-80:].strip().replace("|", "/")
    return last if last == OUT_OF_TIME else f"failed: {last}"


def _arrangement(width: int) -> str:
    return "one after another" if width == 0 else f"pack of {width}"


def _ratio(value: float, base: float | None) -> str:
    return "" if not base else f"{value / base:.2f}"
