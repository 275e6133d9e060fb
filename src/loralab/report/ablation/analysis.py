"""The statistics of an ablation: each cell over its seeds, each against the baseline, and the factors together.

Planned and confirmation runs never meet in one figure: what the planned runs chose looks better in them than it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from loralab.evaluation.intervals import Interval, mean_interval
from loralab.report.ablation.record import (
    CONFIRMATION,
    FINISHED,
    PLANNED,
    Analysis,
    Comparison,
    Family,
    RunRecord,
    Summary,
)
from loralab.report.statistics import (
    SignFlips,
    analysis_of_variance,
    hedges_g,
    interquartile_mean,
    sign_flips,
    wider,
)
from loralab.report.study.confirm import comparison as student
from loralab.study.ablation import Ablation, Cell, Fraction

PURPOSES = (PLANNED, CONFIRMATION)
FEWEST = 2
"""Pairs below which there is no spread to speak of."""
FULL_RESOLUTION = 5
"""From it on, products of two factors can be told apart."""


def summarised(
    runs: Sequence[RunRecord], *, cells: Sequence[Cell], metrics: Mapping[str, str]
) -> list[Summary]:
    """Gives every metric of every cell, planned and confirmation runs apart."""
    found = []
    for purpose in PURPOSES:
        for metric in metrics:
            for cell in cells:
                own = [run for run in runs if run.cell == cell.name and run.purpose == purpose]
                if own:
                    found.append(_summary(own, metric=metric))
    return found


def _summary(runs: Sequence[RunRecord], *, metric: str) -> Summary:
    values = {
        run.seed: run.metrics[metric] for run in runs if run.status == FINISHED and metric in run.metrics
    }
    numbers = list(values.values())
    return Summary(
        cell=runs[0].cell,
        metric=metric,
        purpose=runs[0].purpose,
        values=values,
        num_runs=len(runs),
        mean=float(np.mean(numbers)) if numbers else None,
        deviation=float(np.std(numbers, ddof=1)) if len(numbers) >= FEWEST else None,
        interquartile=interquartile_mean(numbers),
    )


def compared(
    summaries: Sequence[Summary], *, cells: Sequence[Cell], metrics: Mapping[str, str], alpha: float
) -> tuple[list[Comparison], list[Family]]:
    """Compares every cell with the baseline; the comparisons of a metric are corrected together."""
    comparisons, families = [], []
    for purpose in PURPOSES:
        for metric, direction in metrics.items():
            own = {each.cell: each for each in summaries if each.metric == metric and each.purpose == purpose}
            pairs = [(own[c.name], own[cells[0].name]) for c in cells[1:] if c.name in own]
            made, family = compared_family(pairs, direction=direction, alpha=alpha)
            comparisons += made
            families += [family] if family else []
    return comparisons, families


def compared_family(
    pairs: Sequence[tuple[Summary, Summary]], *, direction: str, alpha: float
) -> tuple[list[Comparison], Family | None]:
    """Compares pairs of cells in one metric, those that have at least two seeds in common."""
    found = [(one, other, seeds) for one, other in pairs if len(seeds := _common(one, other)) >= FEWEST]
    if not found:
        return [], None
    differences = [[one.values[s] - other.values[s] for s in seeds] for one, other, seeds in found]
    tests = sign_flips(differences, alpha=alpha)
    comparisons = [
        _comparison(pair, differences[index], tests=tests, index=index, direction=direction)
        for index, pair in enumerate(found)
    ]
    first = found[0][0]
    family = Family(
        metric=first.metric,
        purpose=first.purpose,
        num_comparisons=len(found),
        num_seeds=tests.num_pairs,
        least_p=tests.least_p,
        least_holm_p=tests.least_holm_p,
        is_tested=tests.is_tested,
        note=tests.note,
    )
    return comparisons, family


def _common(one: Summary, other: Summary) -> tuple[int, ...]:
    return tuple(sorted(one.values.keys() & other.values.keys()))


def _comparison(
    pair: tuple[Summary, Summary, tuple[int, ...]],
    differences: Sequence[float],
    *,
    tests: SignFlips,
    index: int,
    direction: str,
) -> Comparison:
    one, other, seeds = pair
    against = float(np.mean([other.values[seed] for seed in seeds]))
    bootstrap, normal = mean_interval(differences), student.mean_interval(differences)
    return Comparison(
        cell=one.cell,
        against=other.cell,
        metric=one.metric,
        purpose=one.purpose,
        seeds=seeds,
        difference=bootstrap,
        student=normal,
        share=bootstrap.value / abs(against) if against else None,
        effect=hedges_g(differences),
        p=tests.p[index],
        holm_p=tests.holm_p[index],
        reading=_reading(wider(bootstrap, normal), is_maximized=direction == "maximize"),
    )


def _reading(difference: Interval, *, is_maximized: bool) -> str:
    low, high = (-difference.high, -difference.low) if is_maximized else (difference.low, difference.high)
    return "better" if high < 0 else "worse" if low > 0 else "unclear"


def analysed(
    ablation: Ablation, runs: Sequence[RunRecord], *, cells: Sequence[Cell], fraction: Fraction | None
) -> Iterator[Analysis]:
    """Gives an analysis of variance for every metric of a design that has combinations."""
    if ablation.design == "one_at_a_time":
        return
    levels = {cell.name: cell.levels for cell in cells}
    with_interactions = len(ablation.factors) > 1 and (
        fraction is None or fraction.resolution >= FULL_RESOLUTION
    )
    for metric in ablation.metrics:
        rows = [
            {"value": run.metrics[metric], "seed": run.seed, **levels[run.cell]}
            for run in runs
            if run.purpose == PLANNED and run.status == FINISHED and metric in run.metrics
        ]
        names = [factor.name for factor in ablation.factors]
        terms, model = analysis_of_variance(rows, factors=names, with_interactions=with_interactions)
        yield Analysis(
            metric=metric,
            formula=f"{metric} ~ {model}",
            num_runs=len(rows),
            terms=terms,
            note=_note(bool(terms), len(rows), is_told_apart=with_interactions or len(names) == 1),
        )


def _note(is_fitted: bool, num_runs: int, *, is_told_apart: bool) -> str:
    if not is_fitted:
        return f"{num_runs} finished runs are too few for this model, or leave it no residual"
    apart = "" if is_told_apart else "; products of two factors are not told apart by this fraction"
    return f"n = {num_runs} runs; p rests on normal residuals of equal spread{apart}"
