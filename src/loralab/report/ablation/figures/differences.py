"""Each cell against the baseline: the differences of all seeds, their mean, and two intervals around it."""

from __future__ import annotations

from pathlib import Path

from loralab.report.ablation.figures.canvas import BASELINE_COLOUR, FAINT, below, colour, mark, rows
from loralab.report.ablation.record import PLANNED, AblationRecord, Metric


def draw_differences(record: AblationRecord, metric: Metric, stem: Path) -> list[Path]:
    """Draws the planned comparisons; nothing where there are none."""
    shown = [c for c in record.comparisons if (c.metric, c.purpose) == (metric.key, PLANNED)]
    if not shown:
        return []
    values = {s.cell: s.values for s in record.summaries if (s.metric, s.purpose) == (metric.key, PLANNED)}
    told = "; ".join(
        f"{c.cell}: {c.difference.value:+.4g} [{c.difference.low:.4g}, {c.difference.high:.4g}], {c.reading}"
        for c in shown
    )
    title = f"{record.title}: {metric.title}, difference to the baseline"
    with rows(stem, [(c.cell, len(c.seeds)) for c in shown], title=title, told=told) as (made, axis):
        axis.axvline(0, color=BASELINE_COLOUR, linewidth=0.6)
        for y, each in enumerate(shown):
            seeds = [values[each.cell][seed] - values[each.against][seed] for seed in each.seeds]
            axis.hlines(y, each.student.low, each.student.high, color=colour(y), linewidth=0.7)
            axis.hlines(y, each.difference.low, each.difference.high, color=colour(y), linewidth=2.2)
            axis.scatter(seeds, [y + 0.24] * len(seeds), s=5, color=FAINT, linewidths=0)
            axis.scatter([each.difference.value], [y], s=20, color=colour(y), marker=mark(y + 1), zorder=3)
        side = "left" if metric.direction == "minimize" else "right"
        note = f"({side} is better; thick: bootstrap, thin: Student)"
        below(made.figure, f"{metric.title}, minus the baseline's", note=note)
    return made.paths
