"""Every run of every cell in one metric: a seed's runs are joined, a bar is the interquartile mean and its interval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loralab.report.ablation.figures.canvas import (
    BASELINE_COLOUR,
    COLUMN_IN,
    FAINT,
    PAGE_IN,
    canvas,
    colour,
    mark,
)
from loralab.report.ablation.record import PLANNED, AblationRecord, Metric, Summary

NARROW = 6
"""Cells that one column has room for."""
FEW = 3
"""Cells whose names stand side by side."""


def draw_values(record: AblationRecord, metric: Metric, stem: Path) -> list[Path]:
    """Draws the planned runs; nothing before one has finished."""
    own = {s.cell: s for s in record.summaries if (s.metric, s.purpose) == (metric.key, PLANNED)}
    cells = [cell.name for cell in record.cells if cell.name in own]
    if not any(own[cell].values for cell in cells):
        return []
    width = COLUMN_IN if len(cells) <= NARROW else PAGE_IN
    told = "; ".join(_told(own[cell]) for cell in cells)
    with canvas(
        stem, width_in=width, height_in=2.3, title=f"{record.title}: {metric.title}", told=told
    ) as made:
        axis = made.figure.subplots()
        for seed in record.seeds:
            points = [(x, own[cell].values[seed]) for x, cell in enumerate(cells) if seed in own[cell].values]
            axis.plot(*zip(*points, strict=True), color=FAINT, linewidth=0.5, zorder=1) if points else None
        for x, cell in enumerate(cells):
            _cell(axis, own[cell], x=x, index=x)
        names = [f"{cell}\nn = {len(own[cell].values)}" for cell in cells]
        leaning = {"rotation": 30, "ha": "right"} if len(cells) > FEW else {}
        axis.set_xticks(range(len(cells)), names, **leaning)
        axis.set_ylabel(metric.title)
        axis.set_xlim(-0.6, len(cells) - 0.4)
    return made.paths


def _cell(axis: Any, summary: Summary, *, x: int, index: int) -> None:
    shown = BASELINE_COLOUR if index == 0 else colour(index - 1)
    values = list(summary.values.values())
    axis.scatter(
        [x] * len(values), values, s=10, color=shown, marker=mark(index), alpha=0.55, linewidths=0, zorder=2
    )
    if (centre := summary.interquartile) is not None:
        axis.hlines(centre.value, x - 0.3, x + 0.3, color=shown, linewidth=1.6, zorder=3)
        axis.vlines(x + 0.3, centre.low, centre.high, color=shown, linewidth=0.9, zorder=3)


def _told(summary: Summary) -> str:
    if summary.mean is None:
        return f"{summary.cell}: no finished run"
    return f"{summary.cell}: mean {summary.mean:.4g} over {len(summary.values)} seeds"
