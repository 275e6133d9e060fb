"""Estimates with their intervals, one below the other: importance of parameters, differences of cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from loralab.report.page.axes import Tick, axis_of

WIDTH, LEFT, RIGHT = 480, 150, 16
ROW, TOP, BOTTOM = 30, 6, 42
LONGEST = 21
"""Characters of a name that have room."""


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
    def label(self) -> str:
        """The name, as far as there is room."""
        return self.name if len(self.name) <= LONGEST else f"{self.name[: LONGEST - 1]}…"


@dataclass(frozen=True)
class Bar:
    """An estimate in places of the picture."""

    estimate: Estimate
    y: float
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
    bars = tuple(
        Bar(
            each,
            y=TOP + ROW * (index + 0.5),
            x=across.place(each.value),
            low=across.place(each.low if math.isfinite(each.low) else each.value),
            high=across.place(each.high if math.isfinite(each.high) else each.value),
            dots=tuple((across.place(value), key) for value, key in each.singles),
        )
        for index, each in enumerate(estimates)
    )
    said = "; ".join(f"{e.name} {e.value:.3g} ({e.low:.3g} to {e.high:.3g})" for e in estimates)
    return IntervalChart(
        title=title,
        metric=metric,
        x_label=x_label,
        summary=f"{title}: {said}",
        bars=bars,
        x_ticks=across.ticks(),
        height=TOP + ROW * len(estimates) + BOTTOM,
        zero=across.place(0.0) if has_zero else None,
    )
