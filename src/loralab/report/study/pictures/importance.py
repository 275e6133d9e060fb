"""importance.png: how much each parameter matters, and the first objective over each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loralab.report.study.pictures import canvas
from loralab.report.study.summary import Summary

MOST_PARAMS = 8
FEW_TICKS = 7


def draw_importance(summary: Summary, path: Path) -> Path | None:
    """Draws the shares where there are any, then a panel for each of the weightiest parameters."""
    record = summary.record
    params = [share.name for share in summary.shares] or record.params
    params = [name for name in params if any(name in row.params for row in record.finished)][:MOST_PARAMS]
    if not params:
        return None
    has_shares = bool(summary.shares)
    with canvas.panels(path, count=len(params) + has_shares) as axes:
        if has_shares:
            _bars(axes[0], summary)
        for axis, name in zip(axes[has_shares:], params, strict=True):
            _slice(axis, summary, name=name)
        canvas.legend(axes[has_shares:])
    return path


def _bars(axis: Any, summary: Summary) -> None:
    found = summary.shares[:MOST_PARAMS][::-1]
    values = [share.value for share in found]
    below = [max(share.value - share.low, 0.0) for share in found]
    above = [max(share.high - share.value, 0.0) for share in found]
    axis.barh([share.name for share in found], values, color=canvas.RECIPE, alpha=0.7)
    axis.errorbar(
        values, range(len(found)), xerr=[below, above], fmt="none", ecolor="#222222", capsize=3, lw=1
    )
    axis.set(xlim=(0, 1.02), xlabel="share of importance, 95 % interval", title="PED-ANOVA")
    axis.grid(visible=False, axis="y")


def _slice(axis: Any, summary: Summary, *, name: str) -> None:
    record = summary.record
    rows = [row for row in record.finished if name in row.params]
    places = _places([row.params[name] for row in rows])
    scores = [row.values[0] for row in rows if row.values is not None]
    canvas.mark_scale(axis, "y", scores)
    if name in record.log_params:
        canvas.mark_scale(axis, "x", places, is_log=True)
    numbers = [row.number for row in rows]
    axis.scatter(
        places, scores, c=numbers, cmap="Greys", vmin=-max(numbers) - 1, s=26, edgecolors="#555555", lw=0.4,
        label="trials, later ones darker",
    )  # fmt: skip
    _highlight(axis, summary, name=name, values=[row.params[name] for row in rows], places=places)
    axis.set(xlabel=name, ylabel=next(iter(record.objectives)))
    _name_choices(axis, [row.params[name] for row in rows])


def _places(values: list[Any]) -> list[float]:
    """Gives where values stand on an axis: numbers at themselves, choices at their index."""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return [float(value) for value in values]
    names = sorted(set(map(str, values)))
    return [float(names.index(str(value))) for value in values]


def _highlight(axis: Any, summary: Summary, *, name: str, values: list[Any], places: list[float]) -> None:
    where = dict(zip(map(str, values), places, strict=True))
    recipe = summary.record.recipe
    for row, colour, mark, label in (
        (recipe, canvas.RECIPE, "D", "recipe"),
        (summary.best[0] if summary.best else None, canvas.BEST, "*", "best"),
    ):
        if row is not None and row.values is not None and str(row.params.get(name)) in where:
            size = 11 if mark == "*" else 6
            axis.plot(
                where[str(row.params[name])], row.values[0], mark, color=colour, markersize=size, label=label
            )


def _name_choices(axis: Any, values: list[Any]) -> None:
    """Labels choices by their names, and few whole numbers each by itself."""
    names = sorted(set(map(str, values)))
    if any(isinstance(value, (str, bool)) or value is None for value in values):
        axis.set_xticks(range(len(names)), names, rotation=20 if max(map(len, names)) > 8 else 0)
        axis.margins(x=0.2)
    elif len(names) <= FEW_TICKS and all(isinstance(value, int) for value in values):
        axis.set_xticks(sorted(set(values)), map(str, sorted(set(values))))
        axis.minorticks_off()
