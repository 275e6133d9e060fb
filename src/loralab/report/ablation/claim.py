"""What the runs say about a claim, by one rule for all claims, stated before any of them was run.

Each part of a claim says that a cell is better or worse than another; the margin is the least difference that matters,
a share of the other's mean.

    supported           every part: the mean difference is on the claimed side and at least the margin, and its exact
                        test, after Holm's correction over the claim's parts, has p < alpha
    not supported       some part: the wider of the bootstrap and Student's 95 % intervals ends below the margin on the
                        claimed side, so that a difference that matters is not compatible with the runs
    not decidable       anything else, also where a part lacks the pairs for a test
    not measured        no part has two pairs of runs
"""

from __future__ import annotations

from collections.abc import Sequence

from loralab.report.ablation.analysis import compared_family
from loralab.report.ablation.record import PLANNED, ClaimRecord, Comparison, Family, Summary
from loralab.report.statistics import wider
from loralab.study.ablation import Ablation, Claim, Expected

SUPPORTED, NOT_SUPPORTED = "supported", "not supported"
NOT_DECIDABLE, NOT_MEASURED = "not decidable at this scale", "not measured"


def judged(ablation: Ablation, summaries: Sequence[Summary]) -> ClaimRecord:
    """Judges the claim of an ablation by its planned runs."""
    claim = ablation.claim
    assert claim is not None
    own = {each.cell: each for each in summaries if each.metric == claim.metric and each.purpose == PLANNED}
    pairs = [(own[part.cell], own[part.against]) for part in claim.expected]
    direction = ablation.metrics[claim.metric]
    comparisons, family = compared_family(pairs, direction=direction, alpha=ablation.alpha)
    verdict, reasons = _verdict(
        claim, comparisons, family, is_maximized=direction == "maximize", alpha=ablation.alpha, own=own
    )
    return ClaimRecord(
        text=claim.text,
        metric=claim.metric,
        margin=claim.margin,
        verdict=verdict,
        reasons=tuple(reasons),
        comparisons=tuple(comparisons),
        family=family,
        says=claim.says,
        does_not_say=claim.does_not_say,
    )


def _verdict(
    claim: Claim,
    comparisons: Sequence[Comparison],
    family: Family | None,
    *,
    is_maximized: bool,
    alpha: float,
    own: dict[str, Summary],
) -> tuple[str, list[str]]:
    if family is None:
        return NOT_MEASURED, ["no part of the claim has two pairs of finished runs"]
    by_pair = {(each.cell, each.against): each for each in comparisons}
    verdicts, reasons = [], []
    for part in claim.expected:
        found = by_pair.get((part.cell, part.against))
        if found is None:
            verdict, reason = NOT_DECIDABLE, f"{part.cell} has fewer than two pairs with {part.against}"
        else:
            mean = own[part.against].mean
            margin = claim.margin * abs(mean if mean is not None else 0.0)
            verdict, reason = _part(part, found, margin=margin, is_maximized=is_maximized, alpha=alpha)
        verdicts.append(verdict)
        reasons.append(reason)
    if not family.is_tested:
        reasons.append(family.note)
    if NOT_SUPPORTED in verdicts:
        return NOT_SUPPORTED, reasons
    return (SUPPORTED if set(verdicts) == {SUPPORTED} else NOT_DECIDABLE), reasons


def _part(
    part: Expected, found: Comparison, *, margin: float, is_maximized: bool, alpha: float
) -> tuple[str, str]:
    """Judges one part; differences are turned so that the claimed side is above 0."""
    sign = 1.0 if (part.expects == "worse") != is_maximized else -1.0
    span = wider(found.difference, found.student)
    claimed, most = sign * found.difference.value, max(sign * span.low, sign * span.high)
    what = (
        f"{part.cell} against {part.against}: {found.difference.value:+.4g} "
        f"[{span.low:.4g}, {span.high:.4g}] over {len(found.seeds)} seeds, "
        f"claimed {part.expects} by at least {margin:.4g}"
    )
    if most < margin:
        return NOT_SUPPORTED, f"{what}: a difference of that size is ruled out"
    if found.holm_p is not None and found.holm_p < alpha and claimed >= margin:
        return SUPPORTED, f"{what}: Holm p = {found.holm_p:.3g}"
    told = "no test" if found.holm_p is None else f"Holm p = {found.holm_p:.3g}"
    return NOT_DECIDABLE, f"{what}: neither shown nor ruled out ({told})"
