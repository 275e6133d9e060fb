"""Safe ranges: which one applies to a configuration, and what is said of a value or a search outside it.

A bound that is `search_only` binds searches alone: beyond it a single run costs time or memory and spoils nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loralab.errors import UserError

ValueOf = Callable[[str], Any]
"""Gives the configured value of a dotted key, None where there is no such key."""


@dataclass(frozen=True)
class Bound:
    """A number and where it comes from.

    Attributes:
        value: the number.
        source: document, trainer or measurement that supports it.
        is_search_only: whether it binds searches but not single runs.
    """

    value: int | float
    source: str
    is_search_only: bool = False


@dataclass(frozen=True, kw_only=True)
class SafeRange:
    """Where a setting is known to work.

    Attributes:
        key: dotted key of a run's configuration.
        recommended: the documented value.
        low, high: its ends; None where no source names one.
        is_log: whether a search draws its logarithm evenly.
        when: values that other keys must have for the range to apply.
    """

    key: str
    recommended: Bound
    low: Bound | None = None
    high: Bound | None = None
    is_log: bool = False
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        ends = ("any" if bound is None else number(bound.value) for bound in (self.low, self.high))
        return f"[{', '.join(ends)}]"

    def holds(self, value_of: ValueOf) -> bool:
        """Says whether the range applies to a configuration."""
        return all(value_of(key) in values for key, values in self.when.items())

    def broken_by(self, value: Any, *, searched: bool = False) -> Bound | None:
        """Gives the bound that a value lies beyond; None if it lies inside, or is no number."""
        if not is_number(value):
            return None
        if self.low and value < self.low.value:
            bound = self.low
        elif self.high and value > self.high.value:
            bound = self.high
        else:
            return None
        return None if bound.is_search_only and not searched else bound

    def grammar(self) -> str:
        """Gives the whole range as a search in Hydra's grammar; whole numbers stay whole.

        Raises:
            UserError: where an end is missing.
        """
        if self.low is None or self.high is None:
            raise UserError(
                f"{self.key}=safe: no source names both ends of {self}; "
                f"give them, as in {self.key}='interval({number(self.recommended.value)}, ...)'"
            )
        interval = f"interval({self.low.value}, {self.high.value})"
        return f"tag(log, {interval})" if self.is_log else interval


def applicable(ranges: Iterable[SafeRange], value_of: ValueOf) -> dict[str, SafeRange]:
    """Gives the range of every key that has one in this configuration: the first whose condition holds."""
    found: dict[str, SafeRange] = {}
    for safe in ranges:
        if safe.key not in found and safe.holds(value_of):
            found[safe.key] = safe
    return found


def outside(safe: SafeRange, value: Any, *, model: str) -> str | None:
    """Says that a single run's value lies outside the range, and by which source; None if it does not."""
    bound = safe.broken_by(value)
    if bound is None:
        return None
    return f"{safe.key}={value} is outside the safe range {safe} for {model} (source: {bound.source})"


def widened(safe: SafeRange, values: Sequence[Any], *, model: str) -> list[str]:
    """Says which ends of a searched interval, or which choices of a list, lie outside the range."""
    broken = [(value, safe.broken_by(value, searched=True)) for value in values]
    return [
        f"the search of {safe.key} has {value}, outside the safe range {safe} for {model} (source: {bound.source})"
        for value, bound in broken
        if bound
    ]


def advice(safe: SafeRange, value: int | float) -> str:
    """Gives the way back to the documented value."""
    return f"{'Raise' if value < safe.recommended.value else 'Lower'} it to {number(safe.recommended.value)}"


def number(value: int | float) -> str:
    """Gives a number as it is written in messages and tables."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_number(value: Any) -> bool:
    """Says whether a value is a number; truth values are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
