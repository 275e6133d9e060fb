"""A run's metrics as charts: related ones share one, noise levels are told apart, what is noisy is smoothed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from loralab import names
from loralab.report.page.charts import NUM_COLOURS, THIN, Chart, Points, Series, chart, coloured, finite

SMOOTHING = 0.9
SMOOTHED = ("train/loss", "train/gradient_norm")
FEWEST_TO_SMOOTH = 20


def series_of(lines: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
    """Gives {metric: points over steps} of the lines of metrics.jsonl; gaps are left out."""
    found: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        for name, value in line.items():
            if name not in ("step", "epoch") and isinstance(value, (int, float)):
                found.setdefault(name, []).append((float(line["step"]), float(value)))
    return {name: finite(points) for name, points in found.items()}


def charts(lines: Sequence[Mapping[str, Any]]) -> tuple[Chart, ...]:
    """Gives a chart for every group of metrics that has at least two points, known titles first."""
    groups: dict[str, dict[str, Points]] = {title: {} for title in names.TITLES}
    for name, points in series_of(lines).items():
        if len(points) > 1:
            groups.setdefault(names.group_of(name), {})[name] = points
    return tuple(_chart(group, found) for group, found in groups.items() if found)


def _chart(group: str, found: Mapping[str, Points]) -> Chart:
    ordered = sorted(found, key=lambda name: (name != group, name))
    lines = coloured([Series(name=_legend(name), points=found[name]) for name in ordered])
    if group in SMOOTHED:
        lines = [each for line in lines for each in _with_average(line)]
    return chart(
        lines, title=names.TITLES.get(group, group), metric=group, y_label=_legend(group), y_is_log=False
    )


def _with_average(line: Series) -> list[Series]:
    if len(line.points) <= FEWEST_TO_SMOOTH:
        return [line]
    average = dataclasses.replace(line, name=f"{line.name}, smoothed", points=_smoothed(line.points))
    return [dataclasses.replace(line, shape=THIN), average]


def _legend(name: str) -> str:
    level = names.level_of(name)
    return f"sigma {level}" if level else name.rsplit("/", 1)[-1].replace("_", " ")


def _smoothed(points: Points) -> Points:
    """Gives the exponential moving average, corrected for its start."""
    total = weight = 0.0
    smooth = []
    for x, y in points:
        total = SMOOTHING * total + (1 - SMOOTHING) * y
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        smooth.append((x, total / weight))
    return tuple(smooth)


@dataclasses.dataclass(frozen=True)
class Compared:
    """A run among others: its name in the legend, its metrics, and the table's row that it belongs to."""

    name: str
    lines: Sequence[Mapping[str, Any]]
    key: str | None = None


def validation_charts(runs: Sequence[Compared]) -> tuple[Chart, ...]:
    """Gives the validation curves of runs beside each other: a chart for the mean and one for each noise level.

    Runs of one name (the seeds of a cell) share a colour and are thin.
    """
    found = [(run, series_of(run.lines)) for run in runs]
    metrics = {
        name: None
        for _, series in found
        for name, points in series.items()
        if names.is_validation(names.group_of(name)) and len(points) > 1
    }
    ordered = sorted(metrics, key=lambda name: names.level_of(name) or "")
    return tuple(_compared(metric, found) for metric in ordered)


def _compared(metric: str, found: Sequence[tuple[Compared, Mapping[str, Points]]]) -> Chart:
    colours = {
        name: str(index % NUM_COLOURS)
        for index, name in enumerate(dict.fromkeys(run.name for run, _ in found))
    }
    is_repeated = len(colours) < len(found)
    seen: set[str] = set()
    lines = []
    for run, series in found:
        points = series.get(metric, ())
        if points:
            lines.append(
                Series(name=run.name, points=points, colour=colours[run.name], key=run.key,
                       shape=THIN if is_repeated else "line", is_named=run.name not in seen)
            )  # fmt: skip
            seen.add(run.name)
    level = names.level_of(metric)
    part = names.group_of(metric).partition("/")[2].replace("_", " ")
    title = f"Validation {part}, {f'sigma {level}' if level else 'mean over sigma'}"
    return chart(
        lines, title=title, metric=metric, y_label="loss", option=level or "mean", y_is_log=None,
        summary=f"{title} over steps: " + "; ".join(
            f"{line.name} from {line.points[0][1]:.4g} to {line.points[-1][1]:.4g}" for line in lines
        ),
    )  # fmt: skip
