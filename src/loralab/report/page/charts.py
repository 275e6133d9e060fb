"""Charts as inline SVG: drawn here, so that they are there without a script, and coloured by the page's style sheet.

The colours are those of Okabe and Ito (2008), which the colour-blind tell apart; lines differ in dashes as well.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from loralab.report.page.axes import Axis, Tick, axis_of

Points = tuple[tuple[float, float], ...]

WIDTH, HEIGHT = 480, 260
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 12, 46
NUM_COLOURS = 7
PLAIN, BEST, RECIPE = "plain", "best", "recipe"
LINE, THIN, STEP, DOTS = "line", "thin", "step", "dots"


@dataclass(frozen=True, kw_only=True)
class Series:
    """What belongs together in a chart.

    Attributes:
        name: in the legend, and where a point is read off.
        points: (x, y), finite.
        colour: a number from 0, or plain, best, recipe or a status.
        shape: line, thin, step or dots.
        key: ties a line to a table's row; `keys` each dot to one.
        is_named: whether the legend has it.
    """

    name: str
    points: Points
    colour: str = PLAIN
    shape: str = LINE
    key: str | None = None
    keys: tuple[str, ...] = ()
    is_named: bool = True


@dataclass(frozen=True)
class Drawn:
    """A series in places of the picture: `path` of a line, or `dots` with their keys."""

    series: Series
    places: Points
    path: str = ""

    @property
    def dots(self) -> list[tuple[float, float, str]]:
        """Places of dots with their keys."""
        keys = self.series.keys or ("",) * len(self.places)
        return [(*place, key) for place, key in zip(self.places, keys, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A picture of series over one axis.

    Attributes:
        title: above it.
        metric: the name of what is shown, as it is logged.
        summary: the same in words, for those who do not see it.
        option: which of several charts of one kind this is, where a reader chooses.
    """

    kind: ClassVar[str] = "lines"
    title: str
    metric: str | None
    summary: str
    x_label: str
    y_label: str
    drawn: tuple[Drawn, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    option: str | None = None

    @property
    def legend(self) -> list[Series]:
        """The series that have a name of their own, if there is more than one."""
        named = [each.series for each in self.drawn if each.series.is_named]
        return named if len(named) > 1 else []

    def to_dict(self) -> dict[str, Any]:
        """Gives what is read off where somebody points: names, values and their places."""
        return {
            "x": self.x_label,
            "y": self.y_label,
            "series": [
                {
                    "name": each.series.name,
                    "values": _short(each.series.points),
                    "places": _short(each.places),
                }
                for each in self.drawn
            ],
        }


def chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str = "step",
    y_label: str = "",
    metric: str | None = None,
    option: str | None = None,
    summary: str | None = None,
    x_is_log: bool | None = False,
    x_names: Sequence[str] = (),
    y_is_log: bool | None = None,
    top: float | None = None,
) -> Chart:
    """Draws series; those without points are left out.

    Args:
        series: at least one that has a point.
        title: above the chart.
        x_label: of the lower axis.
        y_label: of the other.
        metric: the logged name of what is shown.
        option: where a reader chooses one of several charts.
        summary: in words; None says where each named line begins and ends.
        x_is_log: None chooses by the values; so does `y_is_log`.
        x_names: labels of the places 0, 1, 2, ... of a choice.
        y_is_log: as above.
        top: cuts off what lies above, so that one bad run does not press all others flat.
    """
    kept = [each for each in series if each.points]
    xs, ys = zip(*(point for each in kept for point in each.points), strict=True)
    shown = [y for y in ys if top is None or y <= top] or list(ys)
    across = _across(xs, is_log=x_is_log, names=tuple(x_names), is_dotted=all(s.shape == DOTS for s in kept))
    up = axis_of(shown, start=HEIGHT - BOTTOM, end=TOP, is_log=y_is_log)
    return Chart(
        title=title,
        metric=metric,
        summary=summary or f"{title}: {_ends(kept)}",
        x_label=x_label,
        y_label=y_label,
        drawn=tuple(_drawn(each, across, up) for each in kept),
        x_ticks=across.ticks(),
        y_ticks=up.ticks(),
        option=option,
    )


def _across(xs: Sequence[float], *, is_log: bool | None, names: tuple[str, ...], is_dotted: bool) -> Axis:
    if names:
        return Axis(low=-0.5, high=len(names) - 0.5, start=LEFT, end=WIDTH - RIGHT, names=names)
    whole = all(x == int(x) for x in xs)
    return axis_of(xs, start=LEFT, end=WIDTH - RIGHT, is_log=is_log, is_padded=is_dotted, has_integers=whole)


def _drawn(series: Series, across: Axis, up: Axis) -> Drawn:
    """Places points; those beyond the top stand on its edge."""
    places = tuple((across.place(x), max(up.place(_above(y, up)), TOP)) for x, y in series.points)
    if series.shape == DOTS:
        return Drawn(series, places)
    corners = places
    if series.shape == STEP:
        corners = tuple(
            c
            for (x, y), (_, before) in zip(places, places[:1] + places, strict=False)
            for c in ((x, before), (x, y))
        )
    return Drawn(series, places, " ".join(f"{x:.1f},{y:.1f}" for x, y in corners))


def _above(value: float, up: Axis) -> float:
    return max(value, up.low) if up.is_log else value


def _ends(series: Sequence[Series]) -> str:
    named = [each for each in series if each.is_named]
    return "; ".join(
        f"{each.name} from {each.points[0][1]:.4g} to {each.points[-1][1]:.4g}"
        if each.shape != DOTS
        else f"{each.name}: {len(each.points)} points"
        for each in named
    )


def _short(points: Points) -> list[list[float]]:
    return [[float(f"{x:.5g}"), float(f"{y:.5g}")] for x, y in points]


def finite(points: Sequence[tuple[float, float]]) -> Points:
    """Gives the points that can be drawn, by x."""
    return tuple(sorted((float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)))


def coloured(series: Sequence[Series]) -> list[Series]:
    """Gives the series with a colour each, in turn."""
    return [dataclasses.replace(each, colour=str(index % NUM_COLOURS)) for index, each in enumerate(series)]
