from __future__ import annotations

from pathlib import Path

import pytest
from tests.report.page.fixtures import data_of, memory_study
from tests.report.study.studies import empty_study, filled_study, two_objectives

from loralab.report.page.parts import Charts, Command, Page, Table
from loralab.report.page.study import study_page, write_study_page
from loralab.report.study import Summary, summarized


@pytest.fixture(scope="module")
def summary() -> Summary:
    return summarized(filled_study(), num_resamples=2)


def blocks(page: Page, title: str) -> tuple[object, ...]:
    return next(section.blocks for section in page.sections if section.title == title)


def test_every_trial_is_a_row_that_shares_its_key_with_its_marks(summary: Summary, tmp_path: Path) -> None:
    page = study_page(summary, tmp_path)

    (table,) = blocks(page, "Trials")
    assert isinstance(table, Table)
    assert [row.key for row in table.rows] == [f"trial-{n}" for n in range(len(summary.record.rows))]
    assert all(len(row.cells) == len(table.head) for row in table.rows)
    (charts,) = blocks(page, "What was tried")
    assert isinstance(charts, Charts)
    history = charts.charts[0]
    keys = {key for drawn in history.drawn for key in drawn.series.keys}  # type: ignore[union-attr]
    assert keys == {f"trial-{row.number}" for row in summary.record.finished}


def test_headline_and_lines_name_the_best_and_the_recipe(summary: Summary, tmp_path: Path) -> None:
    page = study_page(summary, tmp_path)

    best = summary.best[0]
    assert page.headline.startswith(f"Trial {best.number} is best: validation_loss {best.values[0]:.4g}.")  # type: ignore[index]
    assert "The recipe, trial 0, has validation_loss" in page.headline
    lines = [block.line for block in blocks(page, "To repeat it") if isinstance(block, Command)]
    assert f"optimizer.lr={best.params['optimizer.lr']}" in lines[0]
    assert lines[1].endswith("steps=120"), "the recipe at its own length"
    assert lines[2] == "python -m loralab confirm bowl seeds=5"


def test_pictures_curves_and_links_come_from_the_folders_of_runs(tmp_path: Path) -> None:
    summary = summarized(memory_study(tmp_path), num_resamples=2)
    best = summary.best[0].number
    (tmp_path / "trials" / f"{best:04d}" / "report.html").write_text("a page")

    text = write_study_page(summary, tmp_path).read_text()

    assert f'<a href="trials/{best:04d}/report.html">{best}</a>' in text
    assert f'<a href="trials/{best:04d}/previews/adapter/00.png">trial {best}</a>' in text
    assert text.count("data:image/png") == 3 * 2 * (3 + 2), "base, truth and three trials, 3 prompts, 2 seeds"
    assert '<div class="charts" data-facets="sigma">' in text
    named = [each["series"][0]["name"] for each in data_of(text)["charts"][-4:]]
    assert named == ["trial 0 (recipe)"] * 4, "mean and three noise levels"


def test_a_front_of_two_objectives_has_a_line_for_each_of_its_points(tmp_path: Path) -> None:
    summary = summarized(two_objectives(), num_resamples=2)

    page = study_page(summary, tmp_path)

    assert page.headline == "4 trials of 12 are the Pareto front."
    titles = [b.title for b in blocks(page, "To repeat it") if isinstance(b, Command) and b.title]
    assert sum(title.startswith("Trial") for title in titles) == 4


def test_a_study_in_which_nothing_has_happened_is_a_page(tmp_path: Path) -> None:
    text = write_study_page(summarized(empty_study(), num_resamples=2), tmp_path).read_text()

    assert "No trial has finished within the limits." in text
