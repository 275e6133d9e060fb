"""What is searched: parameters with their distributions, some of which exist only under a choice of another.

A parameter's name is the override key; a choice that is no plain number, truth value or text travels as override text.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loralab.errors import UserError

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

Point = dict[str, Any]


@dataclass(frozen=True)
class Branch:
    """Parameters that exist only where `key` has the value `choice`."""

    key: str
    choice: Any
    parameters: Mapping[str, BaseDistribution]


@dataclass(frozen=True)
class Space:
    """All parameters of a study.

    Attributes:
        parameters: those that every trial has.
        branches: those that depend on another one.
    """

    parameters: Mapping[str, BaseDistribution]
    branches: tuple[Branch, ...] = field(default=())

    def __post_init__(self) -> None:
        names = [*self.parameters, *(name for branch in self.branches for name in branch.parameters)]
        if twice := {name for name in names if names.count(name) > 1}:
            raise UserError(f"{', '.join(sorted(twice))} is searched twice: once for all, or in one branch")
        for branch in self.branches:
            if branch.key not in self.parameters:
                raise UserError(
                    f"when.{branch.key}: a branch needs {branch.key} among the searched parameters"
                )

    def __iter__(self) -> Iterator[tuple[str, BaseDistribution]]:
        """Gives every parameter that a trial may have."""
        yield from self.parameters.items()
        for branch in self.branches:
            yield from branch.parameters.items()

    def suggest(self, trial: Trial) -> Point:
        """Draws all parameters of a trial."""
        for name, distribution in self.parameters.items():
            trial._suggest(name, distribution)
        for branch in self._branches_of(trial.params):
            for name, distribution in branch.parameters.items():
                trial._suggest(name, distribution)
        return dict(trial.params)

    def inside(self, point: Mapping[str, Any]) -> Point:
        """Gives the part of a point that lies in the space."""
        kept = {name: point[name] for name, d in self.parameters.items() if _holds(d, point.get(name))}
        for branch in self._branches_of(kept):
            kept |= {name: point[name] for name, d in branch.parameters.items() if _holds(d, point.get(name))}
        return kept

    def grid(self) -> list[Point]:
        """Gives every combination, branches included.

        Raises:
            UserError: for a parameter that has no list of values.
        """
        names = list(self.parameters)
        found = []
        for values in itertools.product(*(_values(name, self.parameters[name]) for name in names)):
            point = dict(zip(names, values, strict=True))
            inner = {n: d for branch in self._branches_of(point) for n, d in branch.parameters.items()}
            for more in itertools.product(*(_values(name, d) for name, d in inner.items())):
                found.append({**point, **dict(zip(inner, more, strict=True))})
        return found

    def one_factor(self, base: Mapping[str, Any]) -> list[Point]:
        """Gives the base, then every point that differs from it in one parameter.

        Raises:
            UserError: where the base lies outside the space, or a parameter has no list of values.
        """
        centre = self.inside(base)
        if missing := [name for name in self.parameters if name not in centre]:
            raise UserError(
                f"study.design=one_factor varies around the configured values, but {', '.join(missing)} is configured "
                "outside what is searched; add its value to the list, or type another one"
            )
        others = [
            {**centre, name: value}
            for name, distribution in self.parameters.items()
            for value in _values(name, distribution)
            if value != centre[name]
        ]
        return [centre, *others]

    def is_listed(self) -> bool:
        """Says whether every parameter is a list of values."""
        from optuna.distributions import FloatDistribution, IntDistribution

        return not any(
            isinstance(d, (FloatDistribution, IntDistribution)) and _is_interval(d) for _, d in self
        )

    def _branches_of(self, point: Mapping[str, Any]) -> list[Branch]:
        return [b for b in self.branches if b.key in point and str(point[b.key]) == str(b.choice)]


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    from optuna.distributions import CategoricalDistribution

    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return distribution._contains(distribution.to_internal_repr(value))


def _values(name: str, distribution: BaseDistribution) -> list[Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    if distribution.step is None:
        raise UserError(f"{name} is an interval; a grid needs a list: choice(a,b,c) or range(a,b,step)")
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    return [distribution.low + index * distribution.step for index in range(count)]


def _is_interval(distribution: FloatDistribution | IntDistribution) -> bool:
    """Says whether values are drawn from between two ends rather than from a list (whole numbers: unit steps)."""
    return distribution.step in (None, 1)
