"""From values to places in a picture: ranges, linear and logarithmic scales, round ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

LOG_FROM = 8
"""Values that differ by more than this factor are told apart on a logarithmic scale only."""
MOST_TICKS = 6


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in picture units, and its label."""

    place: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A range of values along a stretch of the picture; `start` may lie beyond `end`, as upwards in SVG.

    Attributes:
        low, high: values at the ends.
        start, end: their places in picture units.
        is_log: whether equal ratios are equally far apart.
        has_integers: whether ticks between whole numbers make no sense.
        names: labels of the places 0, 1, 2, ... of a choice; empty for numbers.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False
    has_integers: bool = False
    names: tuple[str, ...] = ()

    def place(self, value: float) -> float:
        """Gives where a value stands."""
        low, high, value = (
            map(math.log10, (self.low, self.high, value)) if self.is_log else (self.low, self.high, value)
        )
        return self.start + (value - low) / ((high - low) or 1) * (self.end - self.start)

    def ticks(self) -> tuple[Tick, ...]:
        """Gives about five labelled places at round values."""
        if self.names:
            return tuple(Tick(self.place(index), name) for index, name in enumerate(self.names))
        values = _log_ticks(self.low, self.high) if self.is_log else []
        if len(values) < 2:
            values = _ticks(self.low, self.high, has_integers=self.has_integers)
        return tuple(
            Tick(self.place(value), f"{value:.4g}") for value in values if value > 0 or not self.is_log
        )


def axis_of(
    values: Iterable[float], *, start: float, end: float, is_log: bool | None = None, is_padded: bool = True,
    has_integers: bool = False,
) -> Axis:  # fmt: skip
    """Makes an axis that holds all values.

    Args:
        values: finite ones, at least one.
        start: place of the lowest.
        end: place of the highest.
        is_log: None chooses by the values.
        is_padded: whether there is a little room beyond the ends; values near zero then start there.
        has_integers: whether only whole numbers are labelled.
    """
    found = list(values)
    low, high = min(found), max(found)
    chosen = low > 0 and (high > LOG_FROM * low if is_log is None else is_log)
    if is_padded:
        low, high = _padded_log(low, high) if chosen else _padded(low, high)
    return Axis(low=low, high=high, start=start, end=end, is_log=chosen, has_integers=has_integers)


def _padded(low: float, high: float) -> tuple[float, float]:
    """Widens a range a little; one that comes near zero starts there."""
    span = (high - low) or abs(high) or 1.0
    return 0.0 if 0 <= low < span else low - 0.05 * span, high + 0.05 * span


def _padded_log(low: float, high: float) -> tuple[float, float]:
    factor = max(high / low, 1.5) ** 0.05
    return low / factor, high * factor


def _ticks(low: float, high: float, *, has_integers: bool) -> list[float]:
    """Gives round numbers inside the range."""
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= MOST_TICKS)
    step = max(step, 1.0) if has_integers else step
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Gives powers of ten, with 2 and 5 times them where there is room."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**power for power in powers for factor in factors]
        found = [value for value in found if low <= value <= high]
        if len(found) <= MOST_TICKS + 1:
            return found
    every = -(-len(found) // MOST_TICKS)
    return found[::every]
