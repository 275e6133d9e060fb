"""An ablation's cells beside each other: every run's value, and the paired differences to the baseline."""

from __future__ import annotations

from loralab.report.ablation.record import PLANNED, AblationRecord, ClaimRecord, Comparison, Metric, Summary
from loralab.report.page.intervals import Estimate, IntervalChart, interval_chart
from loralab.report.page.parts import Block, Charts, Text

COLOURS = {"better": "2", "worse": "1", "unclear": "plain"}
NOTE = (
    "Bars: 95 % intervals, by bootstrap for a cell's interquartile mean and by Student for the mean of paired "
    "differences, which is the wider one at few seeds. Small dots: one for each seed."
)


def key_of(cell: str, seed: int, purpose: str) -> str:
    """Gives what ties a run's row to its marks."""
    return f"{cell}/{seed}/{purpose}"


def claim_chart(claim: ClaimRecord) -> IntervalChart:
    """Draws the comparisons that a claim is about."""
    estimates = [_difference(each, (), name=f"{each.cell} - {each.against}") for each in claim.comparisons]
    return interval_chart(
        estimates, title="The claim's comparisons", x_label="mean difference", metric=claim.metric
    )


def differences(record: AblationRecord) -> tuple[Block, ...]:
    """Gives for every metric the values of all cells, and their differences to the baseline."""
    found: list[IntervalChart] = []
    for metric in record.metrics:
        for purpose in dict.fromkeys(run.purpose for run in record.runs):
            found += _metric(record, metric, purpose)
    return (Charts(tuple(found)), Text(NOTE, "quiet")) if found else ()


def _metric(record: AblationRecord, metric: Metric, purpose: str) -> list[IntervalChart]:
    kind = "" if purpose == PLANNED else f" ({purpose})"
    better = "less is better" if metric.direction == "minimize" else "more is better"
    own = [each for each in record.summaries if (each.metric, each.purpose) == (metric.key, purpose)]
    values = [estimate for each in own if (estimate := _value(each)) is not None]
    by_cell = {each.cell: each for each in own}
    compared = [
        _difference(each, _pairs(each, by_cell[each.cell], by_cell[each.against]))
        for each in record.comparisons
        if (each.metric, each.purpose) == (metric.key, purpose)
    ]
    charts = []
    if values:
        title = f"{metric.title}{kind} ({better})"
        charts.append(
            interval_chart(
                values, title=title, x_label="interquartile mean", metric=metric.key, has_zero=False
            )
        )
    if compared:
        title = f"{metric.title}{kind}: difference to the baseline ({better})"
        charts.append(interval_chart(compared, title=title, x_label="mean difference", metric=metric.key))
    return charts


def _value(found: Summary) -> Estimate | None:
    if found.mean is None:
        return None
    middle = found.interquartile
    value, low, high = (middle.value, middle.low, middle.high) if middle else (found.mean,) * 3
    singles = tuple((each, key_of(found.cell, seed, found.purpose)) for seed, each in found.values.items())
    note = f"n = {len(found.values)} of {found.num_runs}"
    return Estimate(found.cell, value, low, high, note=note, colour="plain", singles=singles)


def _pairs(found: Comparison, own: Summary, against: Summary) -> tuple[tuple[float, str], ...]:
    return tuple(
        (own.values[seed] - against.values[seed], key_of(found.cell, seed, found.purpose))
        for seed in found.seeds
    )


def _difference(
    found: Comparison, singles: tuple[tuple[float, str], ...], *, name: str | None = None
) -> Estimate:
    interval = found.student
    return Estimate(
        name or found.cell,
        interval.value,
        interval.low,
        interval.high,
        note=f"n = {len(found.seeds)}",
        colour=COLOURS[found.reading],
        singles=singles,
    )
