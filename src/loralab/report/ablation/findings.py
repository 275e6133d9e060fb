"""What the statistics of an ablation found, as frozen values: the second half of its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from loralab.evaluation.intervals import Interval
from loralab.report.statistics import Term


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One metric of one cell, over the seeds that finished.

    Attributes:
        cell, metric, purpose: of what.
        values: {seed: value}.
        num_runs: seeds asked for; those without a value failed or were not run.
        mean, deviation: over seeds; deviation divides by n - 1 and is None below two seeds.
        interquartile: mean of the middle half with its 95 % bootstrap interval; None below two seeds.
    """

    cell: str
    metric: str
    purpose: str
    values: Mapping[int, float]
    num_runs: int
    mean: float | None
    deviation: float | None
    interquartile: Interval | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A cell against another over the seeds that both finished: d = cell - against, one for each seed.

    Attributes:
        cell, against, metric, purpose: of what.
        seeds: the pairs.
        difference: mean of d with its 95 % bootstrap interval (BCa).
        student: the same mean with Student's interval, which is wider at few seeds.
        share: difference / |mean of `against`|; None where that is 0.
        effect: Hedges' g of the differences with its 95 % interval; None where they do not vary.
        p: of the exact sign-flip test; None where the family is not tested.
        holm_p: the same after Holm's correction over the family.
        reading: better, worse or unclear: where the wider of both intervals lies.
    """

    cell: str
    against: str
    metric: str
    purpose: str
    seeds: tuple[int, ...]
    difference: Interval
    student: Interval
    share: float | None
    effect: Interval | None
    p: float | None
    holm_p: float | None
    reading: str


@dataclass(frozen=True, kw_only=True)
class Family:
    """The comparisons that are corrected together.

    Attributes:
        metric, purpose: of what.
        num_comparisons: how many.
        num_seeds: pairs of the comparison that has the fewest.
        least_p: the least p that so many pairs can give, 2 / 2^n.
        least_holm_p: the least after the correction, num_comparisons * least_p.
        is_tested: whether that is below alpha; otherwise no p is given.
        note: the same in words.
    """

    metric: str
    purpose: str
    num_comparisons: int
    num_seeds: int
    least_p: float
    least_holm_p: float
    is_tested: bool
    note: str


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """An analysis of variance of one metric with the seed as block; `note` says what it rests on or why it is empty."""

    metric: str
    formula: str
    num_runs: int
    terms: tuple[Term, ...]
    note: str


@dataclass(frozen=True, kw_only=True)
class ClaimRecord:
    """A claim and what the runs say about it.

    Attributes:
        text: what is claimed, and by whom.
        metric: what decides.
        margin: the least difference that matters, as a share of the mean of `against`.
        verdict: supported, not supported, not decidable at this scale, or not measured.
        reasons: what the verdict rests on, a sentence each.
        comparisons: the claim's own, corrected together.
        family: of these; None where nothing was compared.
        says, does_not_say: what this scale can and cannot say about the models that the claim is about.
    """

    text: str
    metric: str
    margin: float
    verdict: str
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    family: Family | None
    says: str
    does_not_say: str
