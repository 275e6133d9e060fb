"""Estimates with their intervals, one below the other: importance of parameters, differences of cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar

from loralab.report.page.axes import Tick, axis_of

WIDTH, LEFT, RIGHT = 480, 150, 16
ROW, LINE, TOP, BOTTOM = 30, 15, 6, 42
LONGEST = 21
"""Characters of a line of a name that have room."""


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its interval.

    Attributes:
        name: of the row.
        value, low, high: the estimate and its interval.
        note: what it rests on, as n = 5.
        colour: as that of a series.
        singles: the values that it is made of, each with the key of a table's row or an empty one.
    """

    name: str
    value: float
    low: float
    high: float
    note: str = ""
    colour: str = "recipe"
    singles: tuple[tuple[float, str], ...] = ()

    @property
    def lines(self) -> list[str]:
        """The name, a line for each setting of a cell and for what it is compared with, as far as there is room."""
        whole = self.name.replace(", ", ",\n").replace(" - ", "\n- ").split("\n")
        return [line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…" for line in whole]

    @property
    def height(self) -> float:
        """Of its row."""
        return ROW + LINE * (len(self.lines) - 1)


@dataclass(frozen=True)
class Bar:
    """An estimate in places of the picture; `label` has the lines of its name, each with its place."""

    estimate: Estimate
    y: float
    label: tuple[tuple[float, str], ...]
    x: float
    low: float
    high: float
    dots: tuple[tuple[float, str], ...]


@dataclass(frozen=True, kw_only=True)
class IntervalChart:
    """Estimates one below the other, with a line at `zero` where that is inside."""

    kind: ClassVar[str] = "intervals"
    title: str
    metric: str | None
    x_label: str
    summary: str
    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    height: float
    zero: float | None
    option: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Gives names and values to be read off by programs."""
        return {
            "x": self.x_label,
            "estimates": [
                {"name": e.name, "value": e.value, "low": e.low, "high": e.high, "note": e.note}
                for e in (bar.estimate for bar in self.bars)
            ],
        }


def interval_chart(
    estimates: Sequence[Estimate],
    *,
    title: str,
    x_label: str,
    metric: str | None = None,
    has_zero: bool = True,
) -> IntervalChart:
    """Draws estimates; an end that is not finite is drawn at the value.

    Args:
        estimates: at least one.
        title: above the chart.
        x_label: of the axis.
        metric: the logged name of what is compared.
        has_zero: whether 0 belongs into the picture.
    """
    ends = [
        x
        for e in estimates
        for x in (e.value, e.low, e.high, *(value for value, _ in e.singles))
        if math.isfinite(x)
    ]
    across = axis_of([*ends, *([0.0] if has_zero else [])], start=LEFT, end=WIDTH - RIGHT, is_log=False)
    tops = [*accumulate((each.height for each in estimates), initial=TOP)]
    bars = tuple(
        Bar(
            each,
            y=top + each.height / 2,
            label=tuple((top + ROW / 2 + LINE * number, line) for number, line in enumerate(each.lines)),
            x=across.place(each.value),
            low=across.place(each.low if math.isfinite(each.low) else each.value),
            high=across.place(each.high if math.isfinite(each.high) else each.value),
            dots=tuple((across.place(value), key) for value, key in each.singles),
        )
        for top, each in zip(tops[:-1], estimates, strict=True)
    )
    said = "; ".join(f"{e.name} {e.value:.3g} ({e.low:.3g} to {e.high:.3g})" for e in estimates)
    return IntervalChart(
        title=title,
        metric=metric,
        x_label=x_label,
        summary=f"{title}: {said}",
        bars=bars,
        x_ticks=across.ticks(),
        height=tops[-1] + BOTTOM,
        zero=across.place(0.0) if has_zero else None,
    )
