"""curves.png: the validation curve of every trial, the best and the recipe in colour, pruned ones dotted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loralab.report.study.pictures import canvas
from loralab.report.study.record import FINISHED, PRUNED, Row
from loralab.report.study.summary import Summary

TOP_QUANTILE = 0.98


def draw_curves(summary: Summary, path: Path) -> Path | None:
    """Draws what was measured over steps; nothing where no trial has a curve of two points."""
    rows = [row for row in summary.record.rows if len(row.curve) > 1 and row.answered_by is None]
    if not rows:
        return None
    with canvas.panels(path, count=1, size=(7.5, 4.6)) as (axis,):
        for is_pruned in (False, True):
            _plain(axis, rows, is_pruned=is_pruned)
        _highlighted(axis, summary)
        _frame(axis, rows)
        axis.set(xlabel="step", ylabel="validation loss")
        canvas.legend([axis])
    return path


def _plain(axis: Any, rows: list[Row], *, is_pruned: bool) -> None:
    from matplotlib.collections import LineCollection

    curves = [row.curve for row in rows if (row.state == PRUNED) == is_pruned]
    if not curves:
        return
    colour, style = (canvas.COLOURS[PRUNED], ":") if is_pruned else (canvas.PLAIN, "-")
    alpha, label = (0.9, None) if is_pruned else (0.45, "other trials")
    lines = LineCollection(curves, colors=colour, linestyles=style, linewidths=1, alpha=alpha, label=label)
    axis.add_collection(lines)
    if is_pruned:
        ends = [curve[-1] for curve in curves]
        mark = canvas.MARKS[PRUNED]
        axis.plot(*zip(*ends, strict=True), mark, color=colour, markersize=4, label="pruned")


def _highlighted(axis: Any, summary: Summary) -> None:
    recipe, best = summary.record.recipe, summary.best[:1]
    chosen = [(row, canvas.BEST, f"best: trial {row.number}") for row in best]
    if recipe is not None and recipe.state == FINISHED and recipe not in best:
        chosen.insert(0, (recipe, canvas.RECIPE, f"recipe: trial {recipe.number}"))
    for row, colour, label in chosen:
        if len(row.curve) > 1:
            steps, scores = zip(*row.curve, strict=True)
            axis.plot(steps, scores, color=colour, linewidth=2.2, label=label)
            if (score := dict(row.curve).get(row.length or steps[-1])) is not None:
                axis.plot(row.length or steps[-1], score, "o", color=colour, markersize=7)


def _frame(axis: Any, rows: list[Row]) -> None:
    """Keeps a trial that diverged from pressing all others flat."""
    import numpy as np

    scores = np.array([score for row in rows for _, score in row.curve])
    finite = scores[np.isfinite(scores)]
    top = float(np.quantile(finite, TOP_QUANTILE))
    shown = [float(score) for score in finite if score <= top]
    canvas.mark_scale(axis, "y", shown)
    if finite.max() > 2 * top:
        axis.set_ylim(top=top * 1.05)
