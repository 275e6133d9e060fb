"""Whether one factor changes what another does: means of the cells, a panel for each pair of factors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from loralab.report.ablation.figures.canvas import COLUMN_IN, PAGE_IN, canvas, colour, mark
from loralab.report.ablation.record import FINISHED, PLANNED, AblationRecord, Factor, Metric


def draw_interactions(record: AblationRecord, metric: Metric, stem: Path) -> list[Path]:
    """Draws a factorial's pairs; nothing for other designs, or where a level has no run."""
    if record.design != "factorial" or len(record.factors) < 2:
        return []
    pairs = list(itertools.combinations(record.factors, 2))
    means = {pair: _means(record, metric, *pair) for pair in pairs}
    if any(None in table.values() for table in means.values()):
        return []
    told = "; ".join(
        f"{one.name}={a}, {other.name}={b}: {value:.4g}"
        for (one, other), table in means.items()
        for (a, b), value in table.items()
    )
    across = min(len(pairs), 3)
    down = -(-len(pairs) // across)
    width = COLUMN_IN if len(pairs) == 1 else PAGE_IN
    title = f"{record.title}: {metric.title}, interactions"
    with canvas(stem, width_in=width, height_in=2.1 * down, title=title, told=told) as made:
        grid = made.figure.subplots(down, across, squeeze=False, sharey=True)
        for axis, pair in itertools.zip_longest(grid.flat, pairs):
            if pair is None:
                axis.set_visible(False)
            else:
                _panel(axis, *pair, table=means[pair])
        for row in grid:
            row[0].set_ylabel(metric.title)
    return made.paths


def _panel(axis: Any, one: Factor, other: Factor, *, table: Mapping[tuple[str, str], float | None]) -> None:
    places = range(len(one.levels))
    for index, level in enumerate(other.levels):
        values = [table[own.name, level.name] for own in one.levels]
        axis.plot(places, values, color=colour(index), marker=mark(index), markersize=3.5, label=level.name)
    axis.set_xticks(places, [level.name for level in one.levels])
    axis.set_xlabel(one.name)
    axis.legend(title=other.name, title_fontsize=6.5)


def _means(
    record: AblationRecord, metric: Metric, one: Factor, other: Factor
) -> dict[tuple[str, str], float | None]:
    levels = {cell.name: cell.levels for cell in record.cells}
    runs = [
        run
        for run in record.runs
        if run.purpose == PLANNED and run.status == FINISHED and metric.key in run.metrics
    ]
    found: dict[tuple[str, str], float | None] = {}
    for a, b in itertools.product(one.levels, other.levels):
        own = [
            run.metrics[metric.key]
            for run in runs
            if levels[run.cell][one.name] == a.name and levels[run.cell][other.name] == b.name
        ]
        found[a.name, b.name] = float(np.mean(own)) if own else None
    return found
