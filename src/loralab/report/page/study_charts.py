"""A study's charts: values in the order of asking, curves, the front, importance, and each parameter by itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from loralab.report.page.charts import (
    BEST,
    DOTS,
    PLAIN,
    RECIPE,
    STEP,
    THIN,
    Chart,
    Points,
    Series,
    chart,
    finite,
)
from loralab.report.page.intervals import Estimate, interval_chart
from loralab.report.page.parts import Block, Charts, Text
from loralab.report.study.importance import FEWEST
from loralab.report.study.ranking import non_dominated
from loralab.report.study.record import FINISHED, INFEASIBLE, PRUNED, Row, StudyRecord
from loralab.report.study.summary import Summary

TOP_QUANTILE = 0.98
"""Curves above it may be cut off: a trial that diverged would press all others flat."""
MOST_PARAMS = 8
TIME = "wall time (s)"


def key_of(row: Row) -> str:
    """Gives what ties a trial's row to its marks."""
    return f"trial-{row.number}"


def overview(summary: Summary) -> list[Block]:
    """Gives history, curves and front."""
    record = summary.record
    found = [
        *(_history(record, index) for index in range(len(record.objectives)) if record.finished),
        *_curves(summary),
        *_fronts(record),
    ]
    return [Charts(tuple(found))] if found else []


def importance(summary: Summary) -> list[Block]:
    """Gives the shares of parameters with their intervals, and the first objective over each parameter."""
    record = summary.record
    charts: list[Any] = []
    if summary.shares:
        estimates = [
            Estimate(each.name, each.value, each.low, each.high) for each in summary.shares[:MOST_PARAMS]
        ]
        charts.append(
            interval_chart(
                estimates,
                title="Importance for being among the best (PED-ANOVA)",
                x_label="share, 95 % interval over resampled trials",
            )
        )
    weighed = [each.name for each in summary.shares] or record.params
    charts += [
        _slice(summary, name)
        for name in weighed[:MOST_PARAMS]
        if any(name in row.params for row in record.finished)
    ]
    few = f"Importance needs {FEWEST} finished trials; {len(record.finished)} have finished."
    note: list[Block] = [] if summary.shares else [Text(few, "quiet")]
    return [*note, Charts(tuple(charts))] if charts else []


def _history(record: StudyRecord, index: int) -> Chart:
    metric, direction = list(record.objectives.items())[index]
    rows = record.finished

    def point(row: Row) -> tuple[float, float]:
        return float(row.number), _value(row, index)

    best = accumulate((_value(row, index) for row in rows), max if direction == "maximize" else min)
    points = tuple((float(row.number), value) for row, value in zip(rows, best, strict=True))
    points = (*points, (float(record.rows[-1].number), points[-1][1]))
    return chart(
        [
            *(_dots(record, state, point) for state in (FINISHED, INFEASIBLE)),
            Series(name="best so far", points=points, colour=BEST, shape=STEP),
            *_marks(record, point),
        ],
        title=f"{metric} in the order of asking ({_better(direction)})",
        x_label="trial",
        y_label=metric,
    )  # fmt: skip


def _dots(record: StudyRecord, state: str, point: Any) -> Series:
    rows = [row for row in record.rows if row.state == state and row.values is not None]
    placed = [(point(row), key_of(row)) for row in rows]
    kept = [(place, key) for place, key in placed if all(map(math.isfinite, place))]
    return Series(
        name=state, points=tuple(p for p, _ in kept), colour=state, shape=DOTS, keys=tuple(k for _, k in kept)
    )


def _marks(record: StudyRecord, point: Any) -> list[Series]:
    recipe = record.recipe
    if recipe is None or recipe.values is None:
        return []
    return [Series(name="recipe", points=(point(recipe),), colour=RECIPE, shape=DOTS, keys=(key_of(recipe),))]


def _curves(summary: Summary) -> list[Chart]:
    rows = [row for row in summary.record.rows if len(row.curve) > 1 and row.answered_by is None]
    if not rows:
        return []
    scores = np.array([score for row in rows for _, score in row.curve])
    top = float(np.quantile(scores, TOP_QUANTILE))
    recipe, best = summary.record.recipe, summary.best[:1]
    special = [(row, BEST, f"best: trial {row.number}") for row in best]
    if recipe is not None and recipe not in best:
        special.append((recipe, RECIPE, f"recipe: trial {recipe.number}"))
    lines = [_line(row, row.state if row.state == PRUNED else PLAIN, THIN, row.state) for row in rows]
    seen: set[str] = set()
    lines = [_named_once(line, seen) for line in lines]
    lines += [_line(row, colour, "line", name) for row, colour, name in special if len(row.curve) > 1]
    return [
        chart(
            lines, title="Validation loss of every trial", y_label="validation loss",
            top=top * 1.05 if scores.max() > 2 * top else None,
            summary=f"Validation loss of {len(rows)} trials over steps",
        )
    ]  # fmt: skip


def _line(row: Row, colour: str, shape: str, name: str) -> Series:
    return Series(name=name, points=finite(row.curve), colour=colour, shape=shape, key=key_of(row))


def _named_once(line: Series, seen: set[str]) -> Series:
    is_new = line.name not in seen
    seen.add(line.name)
    return dataclasses.replace(line, is_named=is_new)


def _fronts(record: StudyRecord) -> list[Chart]:
    """Gives the first objective against each other one; with a single one, against its price in time."""
    metrics = list(record.objectives.items())
    others = [
        (name, direction, {row.number: _value(row, index + 1) for row in record.finished})
        for index, (name, direction) in enumerate(metrics[1:])
    ] or [(TIME, "minimize", _times(record))]
    return [found for each in others if (found := _front(record, *each)) is not None]


def _times(record: StudyRecord) -> dict[int, float]:
    """Trials whose value was read off another's curve took no time of their own."""
    timed = [row for row in record.finished if row.answered_by is None and row.cost.get("wall_time_s")]
    return {row.number: float(row.cost["wall_time_s"]) for row in timed}


def _front(record: StudyRecord, name: str, direction: str, across: dict[int, float]) -> Chart | None:
    first, first_direction = next(iter(record.objectives.items()))
    rows = [row for row in record.finished if row.number in across]
    if len(rows) < 2:
        return None
    signs = [-1.0 if each == "maximize" else 1.0 for each in (direction, first_direction)]
    kept = non_dominated([(signs[0] * across[row.number], signs[1] * _value(row, 0)) for row in rows])
    front = sorted(
        (row for row, is_kept in zip(rows, kept, strict=True) if is_kept), key=lambda row: across[row.number]
    )

    def point(row: Row) -> tuple[float, float]:
        return across[row.number], _value(row, 0)

    marks = _marks(record, point) if record.recipe in rows else []
    points: Points = tuple(map(point, front))
    return chart(
        [
            Series(name="trials", points=tuple(map(point, rows)), shape=DOTS, keys=tuple(map(key_of, rows))),
            Series(name="between the front's points", points=points, colour=BEST, shape=STEP, is_named=False),
            Series(name="Pareto front", points=points, colour=BEST, shape=DOTS, keys=tuple(map(key_of, front))),
            *marks,
        ],
        title=f"{first} ({_better(first_direction)}) against {name} ({_better(direction)})",
        x_label=name, y_label=first, x_is_log=None,
        summary=f"Pareto front of {first} and {name}: trials {', '.join(str(row.number) for row in front)}",
    )  # fmt: skip


def _slice(summary: Summary, name: str) -> Chart:
    record = summary.record
    rows = [row for row in record.finished if name in row.params]
    choices = _choices([row.params[name] for row in rows])

    def point(row: Row) -> tuple[float, float]:
        value = row.params[name]
        return (float(choices.index(str(value))) if choices else float(value)), _value(row, 0)

    marks = _marks(record, point) if record.recipe in rows else []
    best = [row for row in summary.best[:1] if name in row.params]
    return chart(
        [
            Series(name="trials", points=tuple(map(point, rows)), shape=DOTS, keys=tuple(map(key_of, rows))),
            *marks,
            Series(name="best", points=tuple(map(point, best)), colour=BEST, shape=DOTS, keys=tuple(map(key_of, best))),
        ],
        title=f"{next(iter(record.objectives))} over {name}",
        x_label=name, y_label=next(iter(record.objectives)), x_names=choices, x_is_log=name in record.log_params,
        summary=f"Values of {len(rows)} trials over {name}",
    )  # fmt: skip


def _choices(values: Sequence[Any]) -> list[str]:
    """Gives the names of choices; nothing for numbers."""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return []
    return sorted(set(map(str, values)))


def _value(row: Row, index: int) -> float:
    assert row.values is not None
    return row.values[index]


def _better(direction: str) -> str:
    return "more is better" if direction == "maximize" else "less is better"
