"""The figures of bench/turbo.py by concept and arm, with intervals over seeds.

A row is one run: concept, arm, seed and figures. A cell is the mean over seeds with a percentile bootstrap interval
over them; beside naive, the mean over seeds of the ratio to the naive run of the same seed. With three seeds the
interval is hardly more than the range: it shows the spread, and proves little.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]
RESAMPLES = 2000


class Figures:
    """The rows, asked by concept and arm."""

    def __init__(self, rows: Sequence[Row]) -> None:
        """Adds to each row its ratios to the naive run and to Turbo of the same concept and seed."""
        found = {(row["concept"], row["arm"], row["seed"]): row for row in rows}
        self.rows = [*(_truth(row) for row in rows if "floor" in row), *map(dict, rows)]
        for row in self.rows:
            naive, turbo = (found.get((row["concept"], arm, row["seed"])) for arm in ("naive", "turbo"))
            if naive and "frechet" in row:
                row["ratio"] = row["frechet"] / naive["frechet"]
            if turbo and "prior_frechet" in row:
                row["prior_ratio"] = row["prior_frechet"] / turbo["prior_frechet"]

    @property
    def concepts(self) -> list[str]:
        """In the order of the rows."""
        return list(dict.fromkeys(row["concept"] for row in self.rows))

    @property
    def arms(self) -> list[str]:
        """In the order of the rows."""
        return list(dict.fromkeys(row["arm"] for row in self.rows))

    def values(self, concept: str, arm: str, key: str) -> list[float]:
        """By seed."""
        rows = [row for row in self.rows if (row["concept"], row["arm"]) == (concept, arm)]
        return [row[key] for row in sorted(rows, key=lambda row: row["seed"]) if row.get(key) is not None]

    def mean(self, concept: str, arm: str, key: str) -> float:
        """Over seeds; NaN where there is none."""
        values = self.values(concept, arm, key)
        return float(np.mean(values)) if values else math.nan

    def table(self, concept: str, arms: Iterable[str], *, columns: Mapping[str, str]) -> str:
        """Gives the rows of these arms."""
        lines = [f"| arm | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"]
        for arm in arms:
            cells = [cell(self.values(concept, arm, key)) for key in columns.values()]
            if any(cells):
                lines.append(f"| {arm} | {' | '.join(cells)} |")
        return "\n".join(lines)


def _truth(turbo: Row) -> dict[str, Any]:
    """Gives other true pictures as an arm: what no adapter can be expected to undercut."""
    where = {key: turbo[key] for key in ("concept", "seed")}
    return {
        **where,
        "arm": "truth",
        "frechet": turbo["floor"],
        "sharpness_of_truth": turbo["truth_sharpness"],
        **{key: turbo[f"truth_{key}"] for key in ("precision", "recall", "accuracy")},
    }


def cell(values: Sequence[float]) -> str:
    """Gives mean and interval."""
    if not values:
        return ""
    low, high = bootstrap(values)
    digits = 1 if abs(np.mean(values)) >= 20 else 2
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} [{low:.{digits}f}, {high:.{digits}f}]"


def bootstrap(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float]:
    """Gives the ends of the percentile bootstrap interval of the mean."""
    array = np.asarray(values, np.float64)
    drawn = np.random.default_rng(0).integers(len(array), size=(RESAMPLES, len(array)))
    low, high = np.quantile(array[drawn].mean(1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
