"""A study as a page: its trials, what mattered, what it cost, pictures of the best, and the lines that repeat them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from loralab import names
from loralab.report import reading
from loralab.report.page import study_charts
from loralab.report.page.curves import Compared, validation_charts
from loralab.report.page.gallery import BUDGET, Gallery, gallery, sorted_by_row
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
from loralab.report.study import sections, words
from loralab.report.study.lines import command, overrides_of, recipe_overrides
from loralab.report.study.ranking import place
from loralab.report.study.record import FINISHED, Row, StudyRecord
from loralab.report.study.summary import Summary, values_of

NUM_SHOWN = 4
"""How many of the best are shown in pictures and curves, beside the recipe."""
LONGEST_REMARK = 100
"""Characters of an error that a table shows; the section about failures has all of it."""
REPEATED = ("What came to nothing", "Cost", "Recipe")
"""Sections that read the same on the screen and here."""


def write_study_page(summary: Summary, folder: Path, *, budget: int = BUDGET) -> Path:
    """Writes `report.html` into the study's folder; returns its path."""
    return write_page(study_page(summary, folder, budget=budget), folder / "report.html")


def study_page(summary: Summary, folder: Path, *, budget: int = BUDGET) -> Page:
    """Makes the page of a study.

    Args:
        summary: of the study.
        folder: the study's, in which the page will lie.
        budget: bytes of pictures.
    """
    record = summary.record
    goals = ", ".join(f"{direction} {metric}" for metric, direction in record.objectives.items())
    counted = ", ".join(f"{count} {state}" for state, count in summary.counts.items()) or "no trial yet"
    shown = _shown(summary)
    said = {each.title: each for each in sections(summary)}
    repeated = [
        Section(title, tuple(Text(line) for line in said[title].lines)) for title in REPEATED if title in said
    ]
    return Page(
        title=f"Study {record.name}",
        status=f"{words.plural(len(record.rows), 'trial')}: {counted}",
        headline=_headline(summary),
        notes=(goals, *record.settings.get("widened", ())),
        sections=(
            Section("To repeat it", tuple(_commands(summary))),
            Section("What was tried", tuple(study_charts.overview(summary))),
            Section("What mattered", tuple(study_charts.importance(summary))),
            Section("Trials", (_trials(summary, folder),)),
            Section("Validation per noise level", _curves(shown, folder)),
            Section("Pictures", _pictures(shown, folder, budget)),
            *repeated,
            Section("Settings and environment", _settings(record, shown, folder)),
        ),
    )


def run_folder(row: Row, folder: Path) -> Path | None:
    """Gives a trial's folder where it is there: as stored, or beside the page where the study was moved."""
    if row.folder is None:
        return None
    choices = (Path(row.folder), folder / row.folder, folder / "trials" / Path(row.folder).name)
    return next((path for path in choices if path.is_dir()), None)


def _headline(summary: Summary) -> str:
    record = summary.record
    if not summary.best:
        return "No trial has finished within the limits."
    if len(record.objectives) > 1:
        return f"{words.plural(len(summary.best), 'trial')} of {len(record.finished)} are the Pareto front."
    best, recipe = summary.best[0], record.recipe
    text = f"Trial {best.number} is best: {_valued(record, best)}."
    if recipe is None or recipe.values is None or recipe not in record.finished:
        return text
    if recipe.number == best.number:
        return f"The recipe, trial {recipe.number}, is best: {_valued(record, recipe)}."
    rank = f"place {place(record, recipe)} of {len(record.finished)}"
    return f"{text} The recipe, trial {recipe.number}, has {_valued(record, recipe)}: {rank}."


def _valued(record: StudyRecord, row: Row) -> str:
    return ", ".join(f"{metric} {value:.4g}" for metric, value in values_of(record, row).items())


def _shown(summary: Summary) -> list[tuple[str, Row]]:
    """Gives the best and the recipe with what they are called."""
    recipe = summary.record.recipe
    found = [(f"trial {row.number}", row) for row in summary.best if row.answered_by is None][:NUM_SHOWN]
    if recipe is not None:
        found = [
            (f"trial {recipe.number} (recipe)", recipe),
            *(each for each in found if each[1] is not recipe),
        ]
    return found


def _commands(summary: Summary) -> list[Block]:
    record = summary.record
    found: list[Block] = [
        Command(command(overrides_of(record, row)), f"Trial {row.number}: {_valued(record, row)}")
        for row in summary.repeated
    ]
    if record.recipe is not None:
        found.append(Command(command(recipe_overrides(record)), "The recipe"))
    name = record.name
    seeds = f"python -m loralab confirm {name} seeds=5"
    found.append(Command(seeds, "The best against the recipe over fresh seeds: one seed is no proof"))
    lines = [
        Command(command(overrides_of(record, row)), f"Trial {row.number}: {_valued(record, row)}")
        for row in summary.best[len(summary.repeated) :]
    ]
    return [*found, Details("Lines of all finished trials, best first", tuple(lines))] if lines else found


def _trials(summary: Summary, folder: Path) -> Table:
    record = summary.record
    head = (
        "trial",
        "state",
        *record.objectives,
        *record.params,
        "steps",
        "time (s)",
        "memory (GiB)",
        "remark",
    )
    rows = tuple(_row(record, row, folder) for row in record.rows)
    return Table(title="All trials", head=head, rows=rows, is_searchable=True)


def _row(record: StudyRecord, row: Row, folder: Path) -> TableRow:
    found = run_folder(row, folder)
    page = found / "report.html" if found else None
    link = reading.relative(page, folder) if page is not None and page.is_file() else None
    values = row.values or (None,) * len(record.objectives)
    return TableRow(
        (
            Cell(str(row.number), float(row.number), link=link),
            Cell(row.state, row.state),
            *(number_cell(value) for value in values),
            *(_param(row.params.get(name)) for name in record.params),
            number_cell(row.length or row.pruned_at, words.number(row.length or row.pruned_at)),
            number_cell(row.cost.get("wall_time_s")),
            number_cell(row.cost.get("peak_memory_gib")),
            Cell(_remark(row)),
        ),
        key=study_charts.key_of(row),
        status=row.state,
    )


def _param(value: object) -> Cell:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Cell(words.number(value), float(value))
    return Cell("" if value is None else str(value))


def _remark(row: Row) -> str:
    found = [
        "recipe" if row.is_recipe else "",
        f"repeats {row.retry_of}" if row.retry_of is not None else "",
        f"answered by {row.answered_by}" if row.answered_by is not None else "",
        f"beyond {', '.join(row.excess)}" if row.excess else "",
        row.error.strip().partition("\n")[0][:LONGEST_REMARK] if row.state != FINISHED else "",
    ]
    return "; ".join(each for each in found if each)


def _curves(shown: Sequence[tuple[str, Row]], folder: Path) -> tuple[Block, ...]:
    runs = [
        Compared(name, reading.metrics(path), study_charts.key_of(row))
        for name, row in shown
        if (path := run_folder(row, folder)) is not None
    ]
    found = validation_charts(runs)
    return (Charts(found, facet="sigma"),) if found else ()


def _pictures(shown: Sequence[tuple[str, Row]], folder: Path, budget: int) -> tuple[Gallery, ...]:
    """Shows the best, the recipe and the base beside each other, row by row."""
    sources: list[Source] = []
    for index, (name, row) in enumerate(shown):
        path = run_folder(row, folder)
        for source in reading.previews(path) if path is not None else ():
            if source.column == "adapter":
                sources.append(Source(source.path, name, source.prompt, source.seed))
            elif index == 0:
                sources.append(source)
    by_row = sorted_by_row(sources, columns=[name for name, _ in shown])
    found = gallery(
        by_row, beside=folder, title="Every row is drawn from one noise", media=names.PREVIEW, budget=budget
    )
    return (found,) if found else ()


def _settings(record: StudyRecord, shown: Sequence[tuple[str, Row]], folder: Path) -> tuple[Block, ...]:
    settings = [
        (name, value)
        for name, value in reading.flat(dict(record.settings))
        if value not in ("null", "[]", "{}")
    ]
    found: list[Block] = [Details("Settings of the study", (facts("Settings of the study", settings),))]
    folders = [path for _, row in shown if (path := run_folder(row, folder)) is not None]
    environment = next(
        (each for path in folders if (each := reading.json_file(path / "environment.json"))), {}
    )
    if environment:
        pairs = [(name, str(value)) for name, value in environment.items()]
        found.append(facts("Environment of the best trial's run", pairs))
    return tuple(found)
