"""What an ablation is: factors with their levels, a design, seeds, metrics and a budget (`conf/ablation`).

What can be checked without composing a run is checked here: names, directions, seeds, keys that two factors set.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from loralab.errors import UserError, joined
from loralab.study.settings import DIRECTIONS

ABLATIONS = Path("outputs/ablations")
BASELINE = "baseline"
"""The name of the cell that all others are compared with."""
DESIGNS = ("one_at_a_time", "factorial", "fractional")
EXPECTATIONS = ("better", "worse")


@dataclass(frozen=True)
class Factor:
    """What is varied.

    Attributes:
        name: in tables and figures.
        baseline: the level that the baseline has.
        levels: {level: its overrides of train.py}.
    """

    name: str
    baseline: str
    levels: Mapping[str, tuple[str, ...]]

    @property
    def keys(self) -> set[str]:
        """Everything that its levels set."""
        return {key_of(line) for lines in self.levels.values() for line in lines}


@dataclass(frozen=True)
class Confirm:
    """Cells that are run again under fresh seeds, once the planned runs have been seen."""

    cells: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Expected:
    """A part of a claim: `cell` is better or worse than `against` in the claim's metric."""

    cell: str
    against: str
    expects: str


@dataclass(frozen=True)
class Claim:
    """A claim that the ablation is to test; `margin` is the least difference that matters, as a share."""

    text: str
    metric: str
    margin: float
    expected: tuple[Expected, ...]
    says: str
    does_not_say: str


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """An ablation as it is defined.

    Attributes:
        name: also of its folder below `outputs/ablations`, and of its study.
        title, question: in words.
        overrides: what all runs have.
        factors: what is varied, one or more.
        design: one_at_a_time (each level of one factor against the baseline), factorial (every combination) or
            fractional (two levels each, a chosen part of the combinations).
        generators: of a fractional design, {factor: the factors whose product it is}; empty takes the half that has
            the highest resolution.
        seeds: of every cell, the same for all.
        metrics: {number of result.json: minimize or maximize}; the first decides.
        max_runs: above which the ablation is refused.
        max_hours: hours of running, over all runs, at which no further run begins.
        alpha: level of the tests.
        confirm: what is run again with fresh seeds.
        claim: what it tests.
    """

    name: str
    title: str
    question: str
    overrides: tuple[str, ...]
    factors: tuple[Factor, ...]
    design: str
    generators: Mapping[str, tuple[str, ...]]
    seeds: tuple[int, ...]
    metrics: Mapping[str, str]
    max_runs: int | None
    max_hours: float | None
    alpha: float
    confirm: Confirm
    claim: Claim | None

    def __post_init__(self) -> None:
        problems = [*self._bad_choices(), *self._bad_factors(), *self._keys_set_twice(), *self._bad_seeds()]
        if problems:
            raise UserError(f"ablation={self.name} cannot run:\n{joined(problems)}")

    def _bad_choices(self) -> Iterator[str]:
        if self.design not in DESIGNS:
            yield f"ablation.design={self.design} is none of {', '.join(DESIGNS)}"
        if self.generators and self.design != "fractional":
            yield f"ablation.generators have no effect on design={self.design}; leave them out"
        if not self.metrics:
            yield "ablation.metrics is empty; name a number of result.json, as {style.pixel.adapter: minimize}"
        for metric, direction in self.metrics.items():
            if direction not in DIRECTIONS:
                yield f"ablation.metrics.{metric}={direction} must be minimize or maximize"
        if not 0 < self.alpha < 1:
            yield f"ablation.alpha={self.alpha} must lie between 0 and 1; 0.05 is usual"
        if self.max_runs is not None and self.max_runs < 1:
            yield f"ablation.budget.max_runs={self.max_runs} must be at least 1; null is no limit"
        if self.max_hours is not None and not self.max_hours > 0:
            yield f"ablation.budget.max_hours={self.max_hours} must be above 0; null is no limit"

    def _bad_factors(self) -> Iterator[str]:
        if not self.factors:
            yield "ablation.factors is empty; name what is varied"
        for factor in self.factors:
            where = f"ablation.factors.{factor.name}"
            if len(factor.levels) < 2:
                yield f"{where} has {len(factor.levels)} levels; it needs at least 2"
            if factor.baseline not in factor.levels:
                known = ", ".join(factor.levels) or "none"
                yield f"{where}.baseline={factor.baseline} is none of its levels ({known})"
            yield from (
                f"{where}.levels.{level} sets nothing; write out what it is, as [adapter.rank=16]"
                for level, lines in factor.levels.items()
                if not lines
            )
            for (first, one), (second, other) in itertools.combinations(factor.levels.items(), 2):
                if one and sorted(one) == sorted(other):
                    yield f"{where}: levels {first} and {second} are the same ({' '.join(one)}); leave one out"
            yield from (
                f"{where}: {name!r} has a character that names of cells need (comma, = or /)"
                for name in (factor.name, *factor.levels)
                if set(name) & set(",=/")
            )

    def _keys_set_twice(self) -> Iterator[str]:
        """A key has one owner: a factor, or all runs alike."""
        for one, other in itertools.combinations(self.factors, 2):
            for key in sorted(one.keys & other.keys):
                yield f"factors {one.name} and {other.name} both set {key}; leave it to one"
        for factor in self.factors:
            for key in sorted(factor.keys & {key_of(line) for line in self.overrides}):
                yield f"{key} is set by factor {factor.name}, and for all runs as well; leave it to the factor"
            if "seed" in factor.keys:
                yield f"factor {factor.name} sets seed, which ablation.seeds does for all cells alike"

    def _bad_seeds(self) -> Iterator[str]:
        if not self.seeds:
            yield "ablation.seeds is empty; name at least one, better five"
        for name, seeds in (("ablation.seeds", self.seeds), ("ablation.confirm.seeds", self.confirm.seeds)):
            if len(set(seeds)) < len(seeds):
                yield f"{name}={list(seeds)} names a seed twice"
            yield from (f"{name}: {seed} must be at least 0" for seed in seeds if seed < 0)
        if bool(self.confirm.seeds) != bool(self.confirm.cells):
            yield "ablation.confirm needs both, cells and seeds"
        if seen := sorted(set(self.seeds) & set(self.confirm.seeds)):
            yield f"ablation.confirm.seeds: the planned runs have seen {seen[0]}; confirm with fresh seeds"


def key_of(line: str) -> str:
    """Gives the key that an override is about."""
    return line.partition("=")[0].lstrip("+~")
