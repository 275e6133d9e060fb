"""confirm.png: every seed of every arm, the same seeds joined, and the means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loralab.report.study.confirm.confirmed import TITLES, Confirmed
from loralab.report.study.pictures import canvas


def draw_confirmed(result: Confirmed, path: Path) -> Path:
    """Draws a panel for each metric."""
    with canvas.panels(path, count=len(result.values), size=(4.6, 4.2)) as axes:
        for axis, metric in zip(axes, result.values, strict=True):
            _panel(axis, result, metric=metric)
        canvas.legend(axes)
    return path


def _panel(axis: Any, result: Confirmed, *, metric: str) -> None:
    values = result.values[metric]
    for index, seed in enumerate(result.seeds):
        places = [place for place, arm in enumerate(result.arms) if seed in values[arm.name]]
        scores = [values[result.arms[place].name][seed] for place in places]
        label = "one seed" if index == 0 else None
        axis.plot(
            places, scores, "o-", color=canvas.PLAIN, alpha=0.6, linewidth=0.9, markersize=4.5, label=label
        )
    for place, arm in enumerate(result.arms):
        if values[arm.name]:
            scores = list(values[arm.name].values())
            mean = sum(scores) / len(scores)
            colour = canvas.BEST if place else canvas.RECIPE
            label = "mean" if place == 1 else None
            axis.plot([place - 0.22, place + 0.22], [mean, mean], color=colour, linewidth=3, label=label)
    axis.set_xticks(range(len(result.arms)), [arm.title for arm in result.arms])
    axis.set(xlim=(-0.5, len(result.arms) - 0.5), ylabel=TITLES.get(metric, metric))
    axis.set_title("\n".join(_titles(result, metric)), fontsize=9)


def _titles(result: Confirmed, metric: str) -> list[str]:
    names = {arm.name: arm.title for arm in result.arms}
    return [
        f"{names[each.arm]} - recipe: {each.difference.value:+.3g} ({each.difference.low:+.3g} to "
        f"{each.difference.high:+.3g})"
        for each in result.comparisons
        if each.metric == metric
    ]
