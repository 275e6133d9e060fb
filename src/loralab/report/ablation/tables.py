"""An ablation's tables, as text in cells, made once for the screen, Markdown and LaTeX; numbers in full go to CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loralab.evaluation.intervals import Interval
from loralab.report.ablation.record import (
    CONFIRMATION,
    FINISHED,
    PLANNED,
    AblationRecord,
    Analysis,
    Comparison,
    Family,
    Metric,
    RunRecord,
    Summary,
)


@dataclass(frozen=True)
class Table:
    """A table: `name` is its file's, `head` names the columns, `notes` say what a reader must know."""

    name: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def tables_of(record: AblationRecord) -> list[Table]:
    """Gives all tables of a record; one that would be empty is left out."""
    found = [*_metrics(record, PLANNED), *_metrics(record, CONFIRMATION)]
    found += [_analysis(each, record) for each in record.analyses if each.terms]
    found += [_failures(record)]
    return [table for table in found if table.rows]


def slug(text: str) -> str:
    """Gives a text as a part of a file's name."""
    return "".join(letter if letter.isalnum() else "_" for letter in text).strip("_")


def number(value: float | None, *, signed: bool = False) -> str:
    """Gives a number with four digits that count."""
    if value is None:
        return ""
    return f"{value:+.4g}" if signed else f"{value:.4g}"


def interval(value: Interval | None, *, signed: bool = False) -> str:
    """Gives an estimate with the ends of its interval."""
    if value is None:
        return ""
    return f"{number(value.value, signed=signed)} [{number(value.low)}, {number(value.high)}]"


def ended(runs: Sequence[RunRecord]) -> str:
    """Gives how many runs have finished, and what became of the others."""
    counted = Counter(run.status for run in runs)
    others = ", ".join(f"{count} {status}" for status, count in counted.items() if status != FINISHED)
    return f"{counted[FINISHED]} of {len(runs)}" + (f" ({others})" if others else "")


def _metrics(record: AblationRecord, purpose: str) -> Iterator[Table]:
    for metric in record.metrics:
        yield _metric(record, metric, purpose)


def _metric(record: AblationRecord, metric: Metric, purpose: str) -> Table:
    """Gives one metric of all cells, each beside the baseline."""
    own = {
        each.cell: each for each in record.summaries if (each.metric, each.purpose) == (metric.key, purpose)
    }
    against = {
        each.cell: each for each in record.comparisons if (each.metric, each.purpose) == (metric.key, purpose)
    }
    family = next((f for f in record.families if (f.metric, f.purpose) == (metric.key, purpose)), None)
    rows = [
        _cell_row(record, own[cell.name], against.get(cell.name)) for cell in record.cells if cell.name in own
    ]
    better = "less" if metric.direction == "minimize" else "more"
    kind = "" if purpose == PLANNED else "confirmation over fresh seeds: "
    return Table(
        name=f"{slug(metric.key)}{'' if purpose == PLANNED else '_confirmation'}",
        caption=f"{record.title}: {kind}{metric.title} ({better} is better)",
        head=("cell", "runs", "mean ± sd", "IQM", "difference", "share", "g", "Holm p"),
        rows=tuple(rows),
        notes=tuple(_notes(record, family, purpose=purpose)),
    )


def _cell_row(record: AblationRecord, own: Summary, against: Comparison | None) -> tuple[str, ...]:
    runs = [run for run in record.runs if run.cell == own.cell and run.purpose == own.purpose]
    spread = "" if own.deviation is None else f" ± {number(own.deviation)}"
    head = (own.cell, ended(runs), number(own.mean) + spread, interval(own.interquartile))
    if against is None:
        return (*head, "", "", "", "")
    share = "" if against.share is None else f"{against.share:+.1%}"
    return (
        *head,
        interval(against.difference, signed=True),
        share,
        interval(against.effect, signed=True),
        "" if against.holm_p is None else f"{against.holm_p:.3g} (n = {len(against.seeds)})",
    )


def _notes(record: AblationRecord, family: Family | None, *, purpose: str) -> Iterator[str]:
    seeds = record.seeds if purpose == PLANNED else record.confirmation_seeds
    yield f"Seeds {', '.join(map(str, seeds))}; the same for all cells."
    yield "IQM: interquartile mean. Intervals: 95 %, bootstrap; of g by the noncentral t."
    if family is not None:
        yield f"{family.note[0].upper()}{family.note[1:]}."
    if record.resolution is not None:
        yield f"Resolution {record.resolution}; told apart are not: {'; '.join(record.aliases) or 'none'}."


def _analysis(analysis: Analysis, record: AblationRecord) -> Table:
    rows = [
        (
            term.name,
            f"{term.df:g}",
            number(term.sum_squares),
            number(term.f),
            "" if term.p is None else f"{term.p:.3g} (n = {analysis.num_runs})",
            "" if term.share is None else f"{term.share:.1%}",
        )
        for term in analysis.terms
    ]
    return Table(
        name=f"{slug(analysis.metric)}_anova",
        caption=f"{record.title}: analysis of variance of {analysis.metric}",
        head=("term", "df", "sum of squares", "F", "p", "partial η²"),
        rows=tuple(rows),
        notes=(f"{analysis.formula}, type II. {analysis.note}.",),
    )


def _failures(record: AblationRecord) -> Table:
    rows = [
        (run.cell, str(run.seed), run.status, " ".join(run.reason.split())[:160], run.folder or "")
        for run in record.runs
        if run.status != FINISHED
    ]
    return Table(
        name="not_finished",
        caption=f"{record.title}: runs that have no figures",
        head=("cell", "seed", "status", "reason", "folder"),
        rows=tuple(rows),
    )
