"""How sure a figure is: intervals over pictures for a mean and for a share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its confidence interval."""

    value: float
    low: float
    high: float


def mean_interval(
    values: Sequence[float], *, level: float = 0.95, num_resamples: int = 5000, seed: int = 0
) -> Interval:
    """Gives the mean with a bootstrap interval over the values (bias-corrected and accelerated, Efron 1987).

    For a paired comparison the values are the differences, one for each picture. Equal values, or a single
    one, give an interval of no width.
    """
    from scipy.stats import bootstrap

    array = np.asarray(values, np.float64)
    mean = float(array.mean())
    if np.ptp(array) <= 1e-12 * max(abs(mean), 1):
        return Interval(mean, mean, mean)
    source = np.random.default_rng(seed)
    found = bootstrap(
        (array,), np.mean, confidence_level=level, n_resamples=num_resamples, rng=source, batch=500
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def share_interval(successes: int, *, count: int, z: float = 1.96) -> Interval:
    """Gives successes / count with Wilson's score interval, 95 % by default (Wilson 1927)."""
    share = successes / count
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return Interval(share, max(centre - half, 0.0), min(centre + half, 1.0))
