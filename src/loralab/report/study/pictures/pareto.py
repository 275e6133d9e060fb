"""pareto.png: objectives against each other and their front; with one objective, its price in time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loralab.report.study.pictures import canvas
from loralab.report.study.ranking import non_dominated
from loralab.report.study.record import Row, StudyRecord
from loralab.report.study.summary import Summary


@dataclass(frozen=True)
class _Axis:
    """What one axis shows: its name, each trial's place on it, and whether more is better."""

    name: str
    places: dict[int, float]
    is_maximized: bool

    def cost(self, number: int) -> float:
        return -self.places[number] if self.is_maximized else self.places[number]


def draw_pareto(summary: Summary, path: Path) -> Path | None:
    """Draws the first objective against each other one; nothing where there are no two figures to compare."""
    record = summary.record
    first, *others = [_objective(record, index) for index in range(len(record.objectives))]
    pairs = [
        (other, first) for other in others or [_time(record)] if len(first.places.keys() & other.places) > 1
    ]
    if not pairs:
        return None
    with canvas.panels(path, count=len(pairs), across=2, size=(6, 4.4)) as axes:
        for axis, (across, up) in zip(axes, pairs, strict=True):
            _panel(axis, record, across, up)
        canvas.legend(axes)
    return path


def _objective(record: StudyRecord, index: int) -> _Axis:
    name, direction = list(record.objectives.items())[index]
    places = {row.number: row.values[index] for row in record.finished if row.values is not None}
    return _Axis(name, places, direction == "maximize")


def _time(record: StudyRecord) -> _Axis:
    """Trials whose value was read off another's curve took no time of their own."""
    timed = [row for row in record.finished if row.answered_by is None and row.cost.get("wall_time_s")]
    return _Axis("wall time (s)", {row.number: float(row.cost["wall_time_s"]) for row in timed}, False)


def _panel(axis: Any, record: StudyRecord, across: _Axis, up: _Axis) -> None:
    rows = [row for row in record.finished if row.number in across.places and row.number in up.places]
    xs, ys = ([each.places[row.number] for row in rows] for each in (across, up))
    canvas.mark_scale(axis, "x", xs)
    canvas.mark_scale(axis, "y", ys)
    axis.plot(xs, ys, "o", color=canvas.PLAIN, markersize=5, alpha=0.7, label="trials")
    _front(axis, rows, across, up)
    recipe = record.recipe
    if recipe in rows and recipe is not None:
        place = (across.places[recipe.number], up.places[recipe.number])
        axis.plot(*place, "D", color=canvas.RECIPE, markersize=6, label="recipe")
    axis.set(xlabel=_title(across), ylabel=_title(up))


def _front(axis: Any, rows: list[Row], across: _Axis, up: _Axis) -> None:
    kept = non_dominated([(across.cost(row.number), up.cost(row.number)) for row in rows])
    front = [row.number for row, is_kept in zip(rows, kept, strict=True) if is_kept]
    front.sort(key=across.cost)
    xs, ys = ([each.places[number] for number in front] for each in (across, up))
    where = "post" if not across.is_maximized else "pre"
    axis.step(xs, ys, where=where, color=canvas.BEST, linewidth=1.2, alpha=0.8)
    axis.plot(xs, ys, "o", color=canvas.BEST, markersize=7, label="Pareto front")
    for number, x, y in zip(front, xs, ys, strict=True):
        axis.annotate(f"{number}", (x, y), textcoords="offset points", xytext=(5, 5), fontsize=8)


def _title(axis: _Axis) -> str:
    return f"{axis.name} ({'more' if axis.is_maximized else 'less'} is better)"
