"""Every run of every cell in one metric: a seed's runs are joined, a bar is the interquartile mean and its interval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loralab.report.ablation.figures.canvas import BASELINE_COLOUR, FAINT, below, colour, mark, rows
from loralab.report.ablation.record import PLANNED, AblationRecord, Metric, Summary


def draw_values(record: AblationRecord, metric: Metric, stem: Path) -> list[Path]:
    """Draws the planned runs; nothing before one has finished."""
    own = {s.cell: s for s in record.summaries if (s.metric, s.purpose) == (metric.key, PLANNED)}
    cells = [cell.name for cell in record.cells if cell.name in own]
    if not any(own[cell].values for cell in cells):
        return []
    told = "; ".join(_told(own[cell]) for cell in cells)
    title = f"{record.title}: {metric.title}"
    with rows(stem, [(cell, len(own[cell].values)) for cell in cells], title=title, told=told) as (
        made,
        axis,
    ):
        for seed in record.seeds:
            points = [(own[cell].values[seed], y) for y, cell in enumerate(cells) if seed in own[cell].values]
            axis.plot(*zip(*points, strict=True), color=FAINT, linewidth=0.5, zorder=1) if points else None
        for y, cell in enumerate(cells):
            _cell(axis, own[cell], y=y)
        below(made.figure, metric.title)
    return made.paths


def _cell(axis: Any, summary: Summary, *, y: int) -> None:
    shown = BASELINE_COLOUR if y == 0 else colour(y - 1)
    values = list(summary.values.values())
    axis.scatter(
        values, [y] * len(values), s=10, color=shown, marker=mark(y), alpha=0.55, linewidths=0, zorder=2
    )
    if (centre := summary.interquartile) is not None:
        axis.vlines(centre.value, y - 0.3, y + 0.3, color=shown, linewidth=1.6, zorder=3)
        axis.hlines(y + 0.3, centre.low, centre.high, color=shown, linewidth=0.9, zorder=3)


def _told(summary: Summary) -> str:
    if summary.mean is None:
        return f"{summary.cell}: no finished run"
    return f"{summary.cell}: mean {summary.mean:.4g} over {len(summary.values)} seeds"
