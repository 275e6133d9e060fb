"""Two arms over the same seeds: the paired difference with its interval, what an exact test can say, and the verdict.

The interval is Student's over the differences d = arm - recipe, one for each seed: mean(d) +- t(0.975, n - 1) sd(d) /
sqrt(n). The exact test flips the signs of the differences in all 2^n ways; it cannot give a p below 2 / 2^n.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from loralab.evaluation.intervals import Interval

FEWEST = 2
"""Seeds below which there is no spread to speak of."""
MOST_FLIPS = 20_000
LEVEL = 0.95


@dataclass(frozen=True)
class Comparison:
    """One arm against the recipe in one metric.

    Attributes:
        arm: the arm's name.
        metric: dotted path in result.json.
        seeds: those that both arms finished.
        mean: of the arm.
        recipe: mean of the recipe over the same seeds.
        difference: arm - recipe with its 95 % interval.
        p: of the exact sign-flip test, two-sided.
        least_p: the least that so many seeds can give.
        verdict: in words.
    """

    arm: str
    metric: str
    seeds: tuple[int, ...]
    mean: float
    recipe: float
    difference: Interval
    p: float
    least_p: float
    verdict: str


def compare(
    arm: Mapping[int, float], recipe: Mapping[int, float], *, name: str, metric: str, is_maximized: bool
) -> Comparison | None:
    """Compares two arms, given by seed; None where fewer than two seeds are common."""
    seeds = tuple(sorted(arm.keys() & recipe.keys()))
    if len(seeds) < FEWEST:
        return None
    differences = [arm[seed] - recipe[seed] for seed in seeds]
    interval = mean_interval(differences)
    return Comparison(
        arm=name,
        metric=metric,
        seeds=seeds,
        mean=float(np.mean([arm[seed] for seed in seeds])),
        recipe=float(np.mean([recipe[seed] for seed in seeds])),
        difference=interval,
        p=sign_flip_p(differences),
        least_p=2.0 / 2 ** len(seeds),
        verdict=_verdict(interval, num_seeds=len(seeds), is_maximized=is_maximized),
    )


def mean_interval(values: Sequence[float]) -> Interval:
    """Gives the mean of at least two values with Student's interval."""
    from scipy.stats import t

    array = np.asarray(values, np.float64)
    mean = float(array.mean())
    half = float(t.ppf((1 + LEVEL) / 2, len(array) - 1) * array.std(ddof=1) / math.sqrt(len(array)))
    return Interval(mean, mean - half, mean + half)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Gives how often random signs move the mean as far from 0 as it is; exact while the flips can be counted."""
    from scipy.stats import permutation_test

    if not np.any(differences):
        return 1.0
    array = np.asarray(differences, np.float64)
    found = permutation_test(
        (array,), np.mean, permutation_type="samples", n_resamples=MOST_FLIPS, vectorized=True,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    return float(found.pvalue)


def _verdict(difference: Interval, *, num_seeds: int, is_maximized: bool) -> str:
    low, high = (-difference.high, -difference.low) if is_maximized else (difference.low, difference.high)
    if high < 0:
        return "beats the recipe"
    return "is worse than the recipe" if low > 0 else f"no difference that {num_seeds} seeds can tell"
