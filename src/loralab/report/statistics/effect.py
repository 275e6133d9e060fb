"""How large a paired difference is beside its own spread: Hedges' g of the differences, with its interval.

    g = J(n - 1) mean(d) / sd(d),  J(m) = Gamma(m / 2) / (sqrt(m / 2) Gamma((m - 1) / 2))

J takes out the bias of few pairs (Hedges 1981). t = sqrt(n) mean(d) / sd(d) is noncentral t with n - 1 degrees of
freedom around sqrt(n) delta; the interval holds the deltas under which so large a t is not unusual on either side
(Cumming and Finch 2001), times J. It is an effect per spread of the differences, not of the runs: pairing makes it
larger.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from loralab.evaluation.intervals import Interval

LEVEL = 0.95
FEWEST = 3
"""Below it, sd(d) rests on one degree of freedom, J(1) is 0 and g says nothing."""


def hedges_g(differences: Sequence[float]) -> Interval | None:
    """Gives g with its 95 % interval; None below three pairs, and where the differences do not vary."""
    array = np.asarray(differences, np.float64)
    if len(array) < FEWEST or array.std(ddof=1) <= 1e-12 * max(abs(float(array.mean())), 1e-300):
        return None
    size, df = abs(float(array.mean() / array.std(ddof=1))), len(array) - 1
    low, high = _deltas(size, num_pairs=len(array))
    shrunk, sign = correction(df), math.copysign(1.0, array.mean())
    ends = sorted((sign * shrunk * low, sign * shrunk * high))
    return Interval(sign * shrunk * size, *ends)


def correction(df: int) -> float:
    """Gives J(df), which is a little below 1."""
    return math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)


def _deltas(size: float, *, num_pairs: int) -> tuple[float, float]:
    """Gives the effects under which one of `size` or more, or of `size` or less, is a one in forty event.

    SciPy's noncentral t is exact for positive t only, so that the sign is taken out before.
    """
    from scipy.special import nctdtrinc

    root = math.sqrt(num_pairs)
    chances = ((1 + LEVEL) / 2, (1 - LEVEL) / 2)
    low, high = (float(nctdtrinc(num_pairs - 1, chance, size * root)) / root for chance in chances)
    return low, high
