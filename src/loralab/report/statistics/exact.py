"""Exact tests of paired differences, corrected over a family, and only where so few pairs can decide anything.

The test flips the signs of n differences in all 2^n ways, so that no p lies below 2 / 2^n. Holm's correction multiplies
the smallest of m by m. Where m 2 / 2^n is not below alpha, no outcome could be significant, and no p is given: it would
only be read as evidence of nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loralab.report.study.confirm.comparison import sign_flip_p


@dataclass(frozen=True)
class SignFlips:
    """A family of comparisons.

    Attributes:
        p: of each comparison, in the order given; None where the family is not tested.
        holm_p: the same after Holm's correction.
        num_pairs: of the comparison that has the fewest.
        least_p: the least p that so many pairs can give.
        least_holm_p: the least after the correction, at most 1.
        note: in words.
    """

    p: tuple[float | None, ...]
    holm_p: tuple[float | None, ...]
    num_pairs: int
    least_p: float
    least_holm_p: float
    note: str

    @property
    def is_tested(self) -> bool:
        """Whether there are p at all."""
        return None not in self.p


def least_p(num_pairs: int) -> float:
    """Gives the least two-sided p of a sign-flip test."""
    return min(2.0 / 2**num_pairs, 1.0)


def sign_flips(family: Sequence[Sequence[float]], *, alpha: float) -> SignFlips:
    """Tests a family of one or more comparisons, each given by its differences."""
    from statsmodels.stats.multitest import multipletests

    count, num_pairs = len(family), min(map(len, family))
    smallest = least_p(num_pairs)
    corrected = min(smallest * count, 1.0)
    heading = (
        f"{num_pairs} pairs, {count} comparison{'s' * (count > 1)}: the smallest p that can be reached is "
        f"{smallest:.4g}, after Holm {corrected:.4g}"
    )
    if corrected >= alpha:
        none = (None,) * count
        return SignFlips(
            none, none, num_pairs, smallest, corrected, f"{heading}, not below {alpha:g}: no test"
        )
    p = [sign_flip_p(differences) for differences in family]
    holm = multipletests(p, alpha=alpha, method="holm")[1]
    return SignFlips(tuple(p), tuple(map(float, holm)), num_pairs, smallest, corrected, heading)
