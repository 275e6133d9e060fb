"""What an ablation's folder holds once it was looked at: record, tables, figures, appendix; and what a screen shows."""

from __future__ import annotations

from pathlib import Path

from loralab.files import atomic_write
from loralab.report.ablation.appendix import appendix_latex, appendix_markdown
from loralab.report.ablation.figures import draw_figures
from loralab.report.ablation.formats import comparisons_csv, latex, markdown, runs_csv
from loralab.report.ablation.record import PLANNED, AblationRecord, Comparison, Metric, write_record
from loralab.report.ablation.tables import Table, tables_of
from loralab.report.study.sections import Section


def write_ablation(record: AblationRecord, folder: Path) -> list[Path]:
    """Writes everything that is made from a record; gives the files, those that are named first of all first."""
    return [
        write_record(record, folder),
        atomic_write(folder / "ablation.md", page(record)),
        *write_tables(record, folder / "tables"),
        *draw_figures(record, folder / "figures"),
        atomic_write(folder / "appendix.md", appendix_markdown(record)),
        atomic_write(folder / "appendix.tex", appendix_latex(record)),
    ]


def write_tables(record: AblationRecord, folder: Path) -> list[Path]:
    """Writes each table as Markdown and LaTeX, and all runs and comparisons as CSV."""
    tables = tables_of(record)
    return [
        atomic_write(folder / "runs.csv", runs_csv(record)),
        atomic_write(folder / "comparisons.csv", comparisons_csv(record)),
        *(atomic_write(folder / f"{table.name}.md", markdown(table)) for table in tables),
        *(atomic_write(folder / f"{table.name}.tex", latex(table)) for table in tables),
    ]


def page(record: AblationRecord) -> str:
    """Gives all tables and the verdict as one Markdown page."""
    head = [f"# {record.title}", record.question, *_told(record)]
    return "\n\n".join([*(part for part in head if part), *map(markdown, tables_of(record))])


def ablation_sections(record: AblationRecord) -> list[Section]:
    """Gives the tables and the verdict for a screen."""
    tables = [_section(table) for table in tables_of(record)]
    return [*tables, Section("What this says", (), tuple(_told(record)))]


def _section(table: Table) -> Section:
    return Section(table.caption, (table.head, *table.rows), table.notes)


def _told(record: AblationRecord) -> list[str]:
    """Gives one sentence for each comparison in the metric that decides, then the claim's verdict."""
    first = record.metrics[0]
    lines = [_sentence(each, first) for each in record.comparisons if each.metric == first.key]
    if (claim := record.claim) is not None:
        lines += [f"Claim: {claim.text}", f"Verdict: {claim.verdict}", *claim.reasons]
    return lines or ["no two runs of a seed have finished: nothing to compare"]


def _sentence(each: Comparison, metric: Metric) -> str:
    seeds = f"{len(each.seeds)} {'seeds' if each.purpose == PLANNED else 'fresh seeds'}"
    if each.reading == "unclear":
        return f"{each.cell} and {each.against}: {seeds} cannot tell them apart in {metric.title}"
    return f"{each.cell} is {each.reading} than {each.against} in {metric.title} over {seeds}"
