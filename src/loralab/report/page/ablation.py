"""An ablation as a page: the claim, statistics with n and intervals, every run, curves and pictures of the cells."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from loralab import names
from loralab.report import reading
from loralab.report.ablation.record import FINISHED, AblationRecord, ClaimRecord, RunRecord
from loralab.report.ablation.tables import Table as Plain
from loralab.report.ablation.tables import tables_of
from loralab.report.page.ablation_charts import claim_chart, differences, key_of
from loralab.report.page.curves import Compared, validation_charts
from loralab.report.page.gallery import BUDGET, gallery, sorted_by_row
from loralab.report.page.html import write_page
from loralab.report.page.parts import (
    Block,
    Cell,
    Charts,
    Command,
    Details,
    Page,
    Section,
    Table,
    TableRow,
    Text,
    facts,
    number_cell,
)
from loralab.report.reading import Source
from loralab.report.study import words

LEADING_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", re.IGNORECASE)
TONES = {"supported": "good", "not supported": "bad"}


def write_ablation_page(record: AblationRecord, folder: Path, *, budget: int = BUDGET) -> Path:
    """Writes `report.html` into the ablation's folder; returns its path."""
    return write_page(ablation_page(record, folder, budget=budget), folder / "report.html")


def ablation_page(record: AblationRecord, folder: Path, *, budget: int = BUDGET) -> Page:
    """Makes the page of an ablation.

    Args:
        record: of the ablation.
        folder: the ablation's, in which the page will lie.
        budget: bytes of pictures.
    """
    counted = Counter(run.status for run in record.runs)
    return Page(
        title=record.title,
        status=", ".join(f"{count} of {len(record.runs)} runs {status}" for status, count in counted.items()),
        is_good=record.is_complete and counted[FINISHED] == len(record.runs),
        headline=_headline(record),
        notes=(record.question, _design(record)),
        sections=(
            Section("The claim", _claim(record.claim)),
            Section("Cells beside each other", differences(record)),
            Section("Statistics", _statistics(record)),
            Section("Runs", (_runs(record, folder),)),
            Section("Validation curves", _curves(record, folder)),
            Section("Pictures", _pictures(record, folder, budget)),
            Section("To repeat it", _commands(record)),
            Section("Cost", _cost(record)),
            Section("Settings and environment", _origin(record)),
        ),
    )


def _headline(record: AblationRecord) -> str:
    if record.claim is not None:
        return f"{record.claim.text.rstrip('.')}: {record.claim.verdict}."
    first = record.metrics[0]
    found = [each for each in record.comparisons if each.metric == first.key and each.purpose == "planned"]
    said = [
        f"{each.cell} is {each.reading} (n = {len(each.seeds)})"
        for each in found
        if each.reading != "unclear"
    ]
    unclear = len(found) - len(said)
    if not found:
        return "No two runs of a seed have finished: nothing to compare."
    rest = f"{words.plural(unclear, 'cell')} cannot be told from the baseline" if unclear else ""
    return f"In {first.title}: {'; '.join([*said, *([rest] if rest else [])])}."


def _design(record: AblationRecord) -> str:
    kind = record.design.replace("_", " ")
    resolution = f" of resolution {record.resolution}" if record.resolution else ""
    seeds = ", ".join(map(str, record.seeds))
    return f"{kind}{resolution}: {words.plural(len(record.cells), 'cell')} of {record.model}, each under seeds {seeds}"


def _claim(claim: ClaimRecord | None) -> tuple[Block, ...]:
    if claim is None:
        return ()
    return (
        Text(f"Verdict: {claim.verdict}", TONES.get(claim.verdict, "plain")),
        *(Text(reason) for reason in claim.reasons),
        *([Charts((claim_chart(claim),))] if claim.comparisons else []),
        *([Text(claim.family.note, "quiet")] if claim.family else []),
        *([Text(f"What this scale says: {claim.says}")] if claim.says else []),
        *([Text(f"What it does not say: {claim.does_not_say}")] if claim.does_not_say else []),
    )


def _statistics(record: AblationRecord) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for table in tables_of(record):
        blocks += [_table(table, record.title), *(Text(note, "quiet") for note in table.notes)]
    return tuple(blocks)


def _table(table: Plain, title: str) -> Table:
    rows = tuple(TableRow(tuple(_sortable(text) for text in row)) for row in table.rows)
    caption = table.caption.removeprefix(f"{title}: ")
    return Table(title=caption, head=table.head, rows=rows, is_searchable=len(rows) > 1)


def _sortable(text: str) -> Cell:
    """Sorts by the number that a text begins with, as 0.41 ± 0.02."""
    found = LEADING_NUMBER.match(text)
    return Cell(text, float(found[0])) if found else Cell(text)


def _runs(record: AblationRecord, folder: Path) -> Table:
    head = (
        "cell",
        "seed",
        "purpose",
        "status",
        *(m.title for m in record.metrics),
        "time (s)",
        "memory (GiB)",
        "attempts",
        "remark",
    )
    return Table(
        title="All runs",
        head=head,
        rows=tuple(_run(record, run, folder) for run in record.runs),
        is_searchable=True,
    )


def _run(record: AblationRecord, run: RunRecord, folder: Path) -> TableRow:
    page = folder / run.folder / "report.html" if run.folder else None
    link = reading.relative(page, folder) if page is not None and page.is_file() else None
    return TableRow(
        (
            Cell(run.cell, link=link),
            Cell(str(run.seed), float(run.seed)),
            Cell(run.purpose),
            Cell(run.status),
            *(number_cell(run.metrics.get(metric.key)) for metric in record.metrics),
            number_cell(run.wall_time_s),
            number_cell(run.peak_memory_gib),
            number_cell(run.num_attempts, str(run.num_attempts)),
            Cell(run.reason),
        ),
        key=key_of(run.cell, run.seed, run.purpose),
        status=run.status,
    )


def _curves(record: AblationRecord, folder: Path) -> tuple[Block, ...]:
    runs = [
        Compared(run.cell, lines, key_of(run.cell, run.seed, run.purpose))
        for run in record.runs
        if (lines := _metrics(run, folder))
    ]
    found = validation_charts(runs)
    return (Charts(found, facet="sigma"),) if found else ()


def _metrics(run: RunRecord, folder: Path) -> list[dict[str, float]]:
    """Gives a run's metrics; where its folder is gone, the curve that the record has."""
    found = reading.metrics(folder / run.folder) if run.folder else []
    return found or [{"step": step, names.VALIDATION: loss} for step, loss in run.curve]


def _pictures(record: AblationRecord, folder: Path, budget: int) -> tuple[Block, ...]:
    """Shows the cells beside each other; the selector chooses the seed of the runs."""
    sources: list[Source] = []
    for run in record.runs:
        for each in reading.previews(folder / run.folder) if run.folder else []:
            column = run.cell if each.column == "adapter" else each.column
            is_new = column == run.cell or (column, each.prompt, run.seed) not in {
                (source.column, source.prompt, source.seed) for source in sources
            }
            if is_new:
                sources.append(Source(each.path, column, each.prompt, run.seed))
    by_row = sorted_by_row(sources, columns=[cell.name for cell in record.cells])
    title = "Every row is one prompt, drawn from one noise by the runs of one seed"
    found = gallery(by_row, beside=folder, title=title, media=names.PREVIEW, budget=budget)
    return (found,) if found else ()


def _commands(record: AblationRecord) -> tuple[Block, ...]:
    each = tuple(Command(run.command, f"{run.cell}, seed {run.seed}, {run.purpose}") for run in record.runs)
    return (
        Command(record.origin.command, "The ablation, from where it stands"),
        Command(record.origin.report_command, "This page, tables and figures"),
        Details(f"Lines of all {len(each)} runs", each),
    )


def _cost(record: AblationRecord) -> tuple[Block, ...]:
    limit = f" of {record.budget_hours:g} h" if record.budget_hours is not None else ""
    peaks = [run.peak_memory_gib for run in record.runs if run.peak_memory_gib]
    peak = f"; peak memory {words.gibibytes(max(peaks))}" if peaks else ""
    spent = words.duration(record.num_hours * 3600)
    return (Text(f"{words.plural(len(record.runs), 'run')}: {spent}{limit} in all{peak}"),)


def _origin(record: AblationRecord) -> tuple[Block, ...]:
    origin = record.origin
    pairs = [
        ("commit", ", ".join(origin.commits)),
        ("device", ", ".join(origin.devices)),
        *((f"data: {root}", digest) for root, digest in origin.data.items()),
        *((name, ", ".join(versions)) for name, versions in origin.packages.items()),
    ]
    config = Details("Definition as composed", (Command(origin.config),))
    known = [pair for pair in pairs if pair[1]]
    return (*([facts("Where the runs were made", known)] if known else []), config)
