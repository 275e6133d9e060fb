"""history.png: every trial's value in the order of asking, the best so far, and where the recipe stands."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

from loralab.report.study.pictures import canvas
from loralab.report.study.record import FAILED, FINISHED, INFEASIBLE, PRUNED, Row, StudyRecord
from loralab.report.study.summary import Summary


def draw_history(summary: Summary, path: Path) -> Path | None:
    """Draws one panel for each objective; nothing before a trial has finished."""
    record = summary.record
    if not record.finished:
        return None
    with canvas.panels(path, count=len(record.objectives), across=2, size=(7, 4)) as axes:
        for index, (axis, metric) in enumerate(zip(axes, record.objectives, strict=True)):
            _panel(axis, record, index=index)
            axis.set(xlabel="trial", ylabel=metric)
        canvas.legend(axes)
    return path


def _panel(axis: Any, record: StudyRecord, *, index: int) -> None:
    valued = [row for row in record.rows if row.values is not None]
    values = [row.values[index] for row in valued if row.values is not None]
    canvas.mark_scale(axis, "y", values)
    for state in (FINISHED, INFEASIBLE):
        rows = [row for row in valued if row.state == state]
        _dots(axis, rows, [row.values[index] for row in rows if row.values is not None], state=state)
    _best_so_far(axis, record, index=index)
    _without_value(axis, record)
    recipe = record.recipe
    if recipe is not None and recipe.values is not None:
        axis.axhline(recipe.values[index], color=canvas.RECIPE, linewidth=1, linestyle="--")
        axis.plot(recipe.number, recipe.values[index], "D", color=canvas.RECIPE, label="recipe")
    axis.xaxis.get_major_locator().set_params(integer=True)


def _dots(axis: Any, rows: list[Row], values: list[float], *, state: str) -> None:
    if rows:
        numbers = [row.number for row in rows]
        axis.plot(
            numbers,
            values,
            canvas.MARKS[state],
            color=canvas.COLOURS[state],
            markersize=4.5,
            alpha=0.8,
            label=state,
        )


def _best_so_far(axis: Any, record: StudyRecord, *, index: int) -> None:
    is_maximized = list(record.objectives.values())[index] == "maximize"
    rows = record.finished
    values = [row.values[index] for row in rows if row.values is not None]
    best = list(accumulate(values, max if is_maximized else min))
    numbers = [*(row.number for row in rows), record.rows[-1].number]
    axis.step(numbers, [*best, best[-1]], where="post", color=canvas.BEST, linewidth=1.6, label="best so far")


def _without_value(axis: Any, record: StudyRecord) -> None:
    """Marks trials without a value along the lower edge."""
    for state in (PRUNED, FAILED, INFEASIBLE):
        numbers = [row.number for row in record.rows if row.state == state and row.values is None]
        if numbers:
            axis.plot(
                numbers, [0.02] * len(numbers), canvas.MARKS[state], color=canvas.COLOURS[state], markersize=5,
                transform=axis.get_xaxis_transform(), label=f"{state}, no value", clip_on=False,
            )  # fmt: skip
