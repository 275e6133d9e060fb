"""Metrics over steps as inline SVG: no script, no picture file, colours from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Points = list[tuple[float, float]]

WIDTH, HEIGHT = 480, 240
LEFT, RIGHT, TOP, BOTTOM = 60, 24, 12, 34
NUM_COLOURS = 8
SMOOTHING = 0.9
TITLES = {
    "train/loss": "Training loss (velocity error, unweighted)",
    "validation/loss": "Validation loss (fixed noise): mean and per sigma",
    "detector/flow_matching": "Detector, no score: flow-matching error (fixed noise), falls as few steps are lost",
    "detector/fm_excess": "Detector: flow-matching error above the concept's optimum (few-step models keep about 0.3)",
    "x0/hf": "Detail of few-step latents beside the untouched checkpoint's (alarm outside 0.8 to 1.25)",
    "retain/drift": "Drift of prior prompts at few steps (alarm above 0.15)",
    "retain/nfe_gap": "Detail at many steps over that at few (alarm above 1.3)",
    "train/learning_rate": "Learning rate",
    "train/gradient_norm": "Gradient norm before clipping",
    "train/seconds_per_step": "Seconds per step",
    "update_norm": "Norm of scale·B·A over layers",
}
SMOOTHED = ("train/loss", "train/gradient_norm")


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in picture units, and its label."""

    place: float
    label: str


@dataclass(frozen=True)
class Line:
    """A series, drawn: its legend, SVG points and which colour of the style sheet it has."""

    name: str
    points: str
    colour: int
    is_faint: bool = False


@dataclass(frozen=True)
class Chart:
    """One picture of related metrics, in words (`summary`) and in places."""

    title: str
    summary: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def charts(lines: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Gives a chart for every group of metrics that has at least two points, known titles first."""
    series: dict[str, Points] = {}
    for line in lines:
        for name, value in line.items():
            if name not in ("step", "epoch") and isinstance(value, (int, float)):
                series.setdefault(name, []).append((float(line["step"]), float(value)))
    groups: dict[str, dict[str, Points]] = {title: {} for title in TITLES}
    for name, points in series.items():
        if len(points) > 1:
            groups.setdefault(_group(name), {})[name] = sorted(points)
    return [_chart(name, group) for name, group in groups.items() if group]


def _group(name: str) -> str:
    return "update_norm" if name.startswith("update_norm/") else name.split("_sigma_")[0]


def _chart(group: str, series: Mapping[str, Points]) -> Chart:
    x_values = [x for points in series.values() for x, _ in points]
    y_values = [y for points in series.values() for _, y in points]
    x_range, y_range = (min(x_values), max(x_values)), _padded(min(y_values), max(y_values))

    def place(x: float, y: float) -> tuple[float, float]:
        right = (x - x_range[0]) / ((x_range[1] - x_range[0]) or 1)
        up = (y - y_range[0]) / ((y_range[1] - y_range[0]) or 1)
        return LEFT + right * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def drawn(points: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))

    lines = []
    for index, name in enumerate(sorted(series, key=lambda name: (name != group, name))):
        smooth = group in SMOOTHED and len(series[name]) > 20
        lines.append(Line(_legend(name), drawn(series[name]), index % NUM_COLOURS, is_faint=smooth))
        if smooth:
            lines.append(
                Line(f"{_legend(name)}, smoothed", drawn(_smoothed(series[name])), index % NUM_COLOURS)
            )
    ends = "; ".join(
        f"{_legend(name)} from {points[0][1]:.4g} to {points[-1][1]:.4g}" for name, points in series.items()
    )
    return Chart(
        title=TITLES.get(group, group),
        summary=f"{TITLES.get(group, group)} over steps: {ends}",
        lines=tuple(lines),
        x_ticks=tuple(Tick(place(x, y_range[0])[0], f"{x:g}") for x in _ticks(*x_range, integers=True)),
        y_ticks=tuple(Tick(place(x_range[0], y)[1], f"{y:.4g}") for y in _ticks(*y_range)),
    )


def _legend(name: str) -> str:
    head, _, level = name.partition("_sigma_")
    return f"sigma {level}" if level else head.rsplit("/", 1)[-1].replace("_", " ")


def _padded(low: float, high: float) -> tuple[float, float]:
    """Widens a range a little; one that comes near zero starts there."""
    span = (high - low) or abs(high) or 1.0
    bottom = 0.0 if 0 <= low < span else low - 0.05 * span
    return bottom, high + 0.05 * span


def _ticks(low: float, high: float, *, integers: bool = False) -> list[float]:
    """Gives about five round numbers inside the range."""
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 6)
    step = max(step, 1.0) if integers else step
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _smoothed(points: Points) -> Points:
    """Gives the exponential moving average, corrected for its start."""
    total = weight = 0.0
    smooth = []
    for x, y in points:
        total = SMOOTHING * total + (1 - SMOOTHING) * y
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        smooth.append((x, total / weight))
    return smooth
