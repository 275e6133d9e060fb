"""Between Hydra's override grammar and a study's space: what is typed becomes distributions, a point becomes overrides.

`choice(a,b)` and `a,b` are lists; `range(0,10,2)` is evenly spaced without its end, as in Hydra; `interval(a,b)` is
continuous, whole-numbered where both ends are; `tag(log,interval(a,b))` is even in the logarithm.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, RangeSweep
from hydra.errors import HydraException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from loralab.config import quoted
from loralab.errors import UserError

WHOLE_ENDS = re.compile(r"interval\(\s*(?:start=)?[+-]?\d+\s*,\s*(?:end=)?[+-]?\d+\s*\)")
"""Hydra itself makes both ends fractions."""
SPECIAL = set(" ,'\"=:\\(){}[]$#")


@dataclass(frozen=True)
class Typed:
    """What a list of overrides asks for.

    Attributes:
        searched: parameters with their distributions, by key.
        texts: how each was typed.
        fixed: the other overrides, as typed.
    """

    searched: Mapping[str, BaseDistribution]
    texts: Mapping[str, str]
    fixed: tuple[str, ...]


def read_overrides(lines: Sequence[str]) -> Typed:
    """Sorts overrides into what is searched and what is fixed; of two for one key the later counts.

    Raises:
        UserError: for what is no override, and for a sweep that has no values.
    """
    searched: dict[str, BaseDistribution] = {}
    texts: dict[str, str] = {}
    fixed: dict[str, str] = {}
    for line, override in zip(lines, _parsed(lines), strict=True):
        key = override.key_or_group
        for earlier in (searched, texts, fixed):
            earlier.pop(key, None)
        if override.is_sweep_override():
            searched[key], texts[key] = _distribution(override), override.get_value_string()
        else:
            fixed[key] = line
    return Typed(searched, texts, tuple(fixed.values()))


def overrides_of(point: Mapping[str, Any]) -> list[str]:
    """Gives a point as overrides of train.py."""
    return [f"{key}={value_text(value)}" for key, value in point.items()]


def value_text(value: Any) -> str:
    """Gives a value as an override's value; lists and mappings are held as such texts already."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str) or value[:1] in ("[", "{"):
        return repr(value) if not isinstance(value, str) else value
    return quoted(value) if SPECIAL & set(value) or not value else value


def key_of(line: str) -> str:
    """Gives the key that an override is about."""
    return line.partition("=")[0].lstrip("+~")


def _parsed(lines: Sequence[str]) -> list[Override]:
    try:
        parsed: list[Override] = OverridesParser.create().parse_overrides(list(lines))
    except HydraException as error:
        raise UserError(f"this is no override: {error}") from error
    return parsed


def _distribution(override: Override) -> BaseDistribution:
    value = override.value()
    try:
        if isinstance(value, IntervalSweep):
            is_whole = bool(WHOLE_ENDS.search(override.get_value_string()))
            return _interval(value, is_whole=is_whole)
        if isinstance(value, RangeSweep):
            return _range(value)
        return CategoricalDistribution([_choice(element) for element in override.sweep_iterator()])
    except ValueError as error:
        raise UserError(f"{override.input_line}: {error}") from error


def _interval(value: IntervalSweep, *, is_whole: bool) -> BaseDistribution:
    assert value.start is not None
    assert value.end is not None
    is_log = "log" in value.tags
    if is_whole:
        return IntDistribution(int(value.start), int(value.end), log=is_log)
    return FloatDistribution(float(value.start), float(value.end), log=is_log)


def _range(value: RangeSweep) -> BaseDistribution:
    assert value.start is not None
    assert value.stop is not None
    start, stop, step = value.start, value.stop, value.step
    count = math.ceil((stop - start) / step - 1e-9)
    if count < 1:
        raise ValueError("the range has no values (its end is not among them)")
    last = start + (count - 1) * step
    if all(isinstance(number, int) for number in (start, stop, step)):
        return IntDistribution(int(start), int(last), step=int(step))
    return FloatDistribution(float(start), float(last), step=float(step))


def _choice(element: Any) -> bool | int | float | str | None:
    if isinstance(element, QuotedString):
        return str(element.text)
    if isinstance(element, (list, dict)):
        return str(Override._get_value_element_as_str(element))
    return element
