"""Where values lie: the interquartile mean with its interval, and of two intervals the one that promises less.

The interquartile mean leaves out a quarter of the values at each end, rounded down (SciPy's trim_mean): of 5 seeds it
leaves out the best and the worst, of 3 none. It is the measure of Agarwal et al. 2021 (arXiv:2108.13264).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loralab.evaluation.intervals import Interval

TRIMMED = 0.25
NUM_RESAMPLES = 5000
LEVEL = 0.95


def interquartile_mean(values: Sequence[float]) -> Interval | None:
    """Gives the mean of the middle half with a percentile bootstrap interval; None below two values.

    The percentile interval, because half of the resamples of few values have the same trimmed mean, on which the
    acceleration of BCa is not defined.
    """
    from scipy.stats import bootstrap, trim_mean

    array = np.asarray(values, np.float64)
    if len(array) < 2:
        return None
    centre = float(trim_mean(array, TRIMMED))
    if np.ptp(array) == 0:
        return Interval(centre, centre, centre)
    found = bootstrap(
        (array,), lambda drawn, axis: trim_mean(drawn, TRIMMED, axis=axis), confidence_level=LEVEL, batch=500,
        n_resamples=NUM_RESAMPLES, method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Interval(centre, float(found.low), float(found.high))


def wider(one: Interval, other: Interval) -> Interval:
    """Gives what both intervals allow for together."""
    return Interval(one.value, min(one.low, other.low), max(one.high, other.high))
