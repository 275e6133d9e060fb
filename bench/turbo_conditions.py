"""Whether bench/turbo.py's benchmark is valid, and which conditions each preset passes: means over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from bench.turbo_figures import Figures, Row

PRESETS = ("adapter", "coupled", "dm_aware")
"""Of the objective; one of them is its default."""


@dataclass(frozen=True)
class Condition:
    """A demand with what was found; of a `rival`, where it compares with another preset."""

    concept: str
    what: str
    found: float
    limit: str
    holds: bool
    rival: bool = False

    @property
    def line(self) -> str:
        """Its row of a table."""
        if math.isnan(self.found):
            return f"| {self.concept} | {self.what} | not run | {self.limit} | |"
        verdict = "pass" if self.holds else "FAIL"
        return f"| {self.concept} | {self.what} | {self.found:.3f} | {self.limit} | {verdict} |"


def validity(figures: Figures, base: Row) -> list[Condition]:
    """Says whether there is a distillation to lose, and whether naive training loses it."""
    found = []
    if base:
        concept = figures.concepts[0]
        few, many = base["prior_frechet_8"], base["prior_frechet_50"]
        turbo = figures.mean(concept, "turbo", "prior_frechet")
        found = [
            _at_least("all", "base: Fréchet at 8 steps over 50, prior", few / many, limit=1.5),
            _at_most("all", "Turbo at 8 steps over base at 8, prior", turbo / few, limit=0.7),
        ]
    for concept in figures.concepts:
        found += [
            _at_least(concept, "naive: NFE gap", figures.mean(concept, "naive", "nfe_gap"), limit=1.3),
            _at_most(
                concept, "naive: sharpness", figures.mean(concept, "naive", "sharpness_of_truth"), limit=0.8
            ),
        ]
    return found


def conditions(figures: Figures, *, arm: str) -> list[Condition]:
    """Says whether a preset passes; means over seeds."""
    return [each for concept in figures.concepts for each in _conditions(figures, concept, arm=arm)]


def _conditions(figures: Figures, concept: str, *, arm: str) -> list[Condition]:
    def mean(key: str, other: str = arm) -> float:
        return figures.mean(concept, other, key)

    few, sharp = mean("frechet"), mean("sharpness_of_truth")
    adapter, coupled = mean("frechet", "adapter"), mean("frechet", "coupled")
    off, adapter_off = abs(sharp - 1), abs(mean("sharpness_of_truth", "adapter") - 1)
    beats_adapter = (few <= adapter and off <= adapter_off + 0.05) or (
        off <= adapter_off and few <= 1.05 * adapter
    )
    found = [
        _at_most(concept, "1a Fréchet at 8 steps, of naive's", mean("ratio"), limit=0.8),
        _at_most(
            concept,
            "1b the same, of the teacher's at 50 steps",
            _over(few, mean("frechet", "teacher")),
            limit=1.15,
        ),
        _at_most(concept, "2 NFE gap", mean("nfe_gap"), limit=1.1),
        _at_least(concept, "3a sharpness", sharp, limit=0.85),
        _at_most(concept, "3b sharpness", sharp, limit=1.15),
        _at_least(concept, "4a accuracy", mean("accuracy"), limit=0.95),
        _at_least(
            concept,
            "4b recall, of the teacher's",
            _over(mean("recall"), mean("recall", "teacher")),
            limit=0.8,
        ),
        _at_most(concept, "5a prior Fréchet, of Turbo's", mean("prior_ratio"), limit=1.15),
        _at_most(concept, "5b drift", mean("drift"), limit=0.1),
        _at_most(
            concept, "cost: seconds, of naive's", _over(mean("seconds"), mean("seconds", "naive")), limit=2.5
        ),
    ]
    if arm != "adapter":  # none is compared with itself
        better = "6 better than adapter in 1 or 3, not 5 % worse in the other"
        found.append(Condition(concept, better, _over(few, adapter), "", beats_adapter, rival=True))
    if arm != "coupled":
        above = _at_most(concept, "7 Fréchet, of coupled's", _over(few, coupled), limit=1.05)
        found.append(replace(above, rival=True))
    return found


def best_preset(figures: Figures) -> str:
    """Gives the preset that passes the most of the conditions that all have; of equals that of the least distance."""

    def merit(arm: str) -> tuple[int, float]:
        ratios = [figures.mean(concept, arm, "ratio") for concept in figures.concepts]
        passed = sum(each.holds for each in conditions(figures, arm=arm) if not each.rival)
        return passed, -float(np.mean(ratios))

    there = [arm for arm in PRESETS if arm in figures.arms]
    return max(there, key=merit) if there else "none"


def _at_most(concept: str, what: str, found: float, *, limit: float) -> Condition:
    return Condition(concept, what, found, f"at most {limit:g}", found <= limit)


def _at_least(concept: str, what: str, found: float, *, limit: float) -> Condition:
    return Condition(concept, what, found, f"at least {limit:g}", found >= limit)


def _over(value: float, yardstick: float) -> float:
    """Gives the quotient; NaN, which passes nothing, where there is nothing to divide by."""
    return value / yardstick if yardstick else math.nan
