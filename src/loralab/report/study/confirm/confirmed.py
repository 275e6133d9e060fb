"""From the folders of confirmation runs to what they say."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loralab.errors import UserError
from loralab.evaluation.intervals import Interval
from loralab.report.study.confirm.arms import RECIPE, Arm
from loralab.report.study.confirm.comparison import FEWEST, Comparison, compare, mean_interval
from loralab.report.study.lines import command
from loralab.study.outcome import SCORED, Scoring, read_outcome
from loralab.study.settings import VALIDATION_LOSS

DEFAULT_METRICS = (VALIDATION_LOSS, "style.pixel.adapter", "style.feature.adapter")
TITLES = {
    VALIDATION_LOSS: "validation loss at the end",
    "style.pixel.adapter": "held-out style distance, pixels",
    "style.feature.adapter": "held-out style distance, features",
}
Values = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Optimism:
    """What the search reported of an arm beside what fresh seeds give: `gap` is how much worse they are."""

    arm: str
    metric: str
    searched: float
    fresh: Interval
    gap: float


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A finished confirmation.

    Attributes:
        study: its name.
        seeds: the fresh ones.
        arms: recipe first.
        directions: {metric: minimize or maximize} of all metrics compared.
        values: {metric: {arm: {seed: value}}}.
        comparisons: every other arm against the recipe, by metric.
        optimism: where the search had reported the same metric.
        problems: runs that came to nothing.
    """

    study: str
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    directions: Mapping[str, str]
    values: Mapping[str, Values]
    comparisons: tuple[Comparison, ...]
    optimism: tuple[Optimism, ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Gives plain values for JSON."""
        plain = dataclasses.asdict(self)
        plain["arms"] = [
            {
                "name": arm.name,
                "trial": arm.trial,
                "command": command(arm.overrides),
                "searched": dict(arm.searched),
            }
            for arm in self.arms
        ]
        return plain


def confirmed(
    study: str,
    arms: Sequence[Arm],
    folders: Mapping[str, Mapping[int, Path]],
    *,
    directions: Mapping[str, str],
    problems: Sequence[str] = (),
) -> Confirmed:
    """Reads the runs and compares them.

    Args:
        study: its name.
        arms: recipe first.
        folders: {arm: {seed: run folder}}.
        directions: metrics to compare; those that no run has are left out.
        problems: messages about runs that came to nothing.

    Raises:
        UserError: where there are too few results to compare, or a metric that no run has was asked for.
    """
    found = {name: {seed: _metrics(path) for seed, path in each.items()} for name, each in folders.items()}
    values = {metric: _values(found, metric) for metric in directions}
    kept = {metric: each for metric, each in values.items() if any(each.values())}
    if not kept:
        raise UserError(_nothing(directions, found, problems))
    comparisons = [
        compare(kept[metric][arm.name], kept[metric][RECIPE], name=arm.name, metric=metric,
                is_maximized=directions[metric] == "maximize")
        for metric in kept for arm in arms[1:]
    ]  # fmt: skip
    return Confirmed(
        study=study,
        seeds=tuple(sorted({seed for each in folders.values() for seed in each})),
        arms=tuple(arms),
        directions={metric: directions[metric] for metric in kept},
        values=kept,
        comparisons=tuple(each for each in comparisons if each is not None),
        optimism=tuple(_optimism(arms, kept, directions)),
        problems=tuple(problems),
    )


def _metrics(folder: Path) -> Mapping[str, float]:
    outcome = read_outcome(folder, Scoring(objectives={}, constraints={}, lengths=None))
    return outcome.metrics if outcome is not None and outcome.kind == SCORED else {}


def _values(
    found: Mapping[str, Mapping[int, Mapping[str, float]]], metric: str
) -> dict[str, dict[int, float]]:
    return {
        arm: {seed: numbers[metric] for seed, numbers in each.items() if metric in numbers}
        for arm, each in found.items()
    }


def _optimism(
    arms: Sequence[Arm], values: Mapping[str, Values], directions: Mapping[str, str]
) -> list[Optimism]:
    found = []
    for metric, by_arm in values.items():
        sign = -1.0 if directions[metric] == "maximize" else 1.0
        for arm in arms:
            fresh = list(by_arm[arm.name].values())
            if metric in arm.searched and len(fresh) >= FEWEST:
                gap = sign * (float(np.mean(fresh)) - arm.searched[metric])
                found.append(Optimism(arm.name, metric, arm.searched[metric], mean_interval(fresh), gap))
    return found


def _nothing(
    directions: Mapping[str, str],
    found: Mapping[str, Mapping[int, Mapping[str, float]]],
    problems: Sequence[str],
) -> str:
    if problems:
        return f"no run has finished; the first of {len(problems)}: {problems[0]}"
    there = sorted({name for each in found.values() for numbers in each.values() for name in numbers})
    known = ", ".join(there) or "nothing: none has finished"
    return f"no run has {' or '.join(directions)}; metric= may be one of {known}"
