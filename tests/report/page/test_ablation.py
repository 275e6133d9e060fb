from __future__ import annotations

import dataclasses
from pathlib import Path

from tests.report.page.fixtures import SEEDS, ablation_record, data_of

from loralab.report.ablation.record import ClaimRecord
from loralab.report.page.ablation import ablation_page, write_ablation_page
from loralab.report.page.parts import Charts, Page, Table, Text


def tables(page: Page, title: str) -> list[Table]:
    (section,) = (each for each in page.sections if each.title == title)
    return [block for block in section.blocks if isinstance(block, Table)]


def test_statistics_stand_with_n_and_intervals_and_a_failed_run_is_shown_as_failed(tmp_path: Path) -> None:
    record = ablation_record()

    page = ablation_page(record, tmp_path)

    table = tables(page, "Statistics")[0]
    by_cell = {row.cells[0].text: dict(zip(table.head, row.cells, strict=True)) for row in table.rows}
    assert by_cell["rank=4"]["runs"].text == "5 of 6 (1 failed)"
    difference = next(c for c in record.comparisons if c.cell == "rank=64").difference
    cell = by_cell["rank=64"]["difference"]
    assert cell.text == f"{difference.value:+.4g} [{difference.low:.4g}, {difference.high:.4g}]"
    assert cell.value == float(f"{difference.value:.4g}"), "sorted by the number that the text begins with"
    (runs,) = tables(page, "Runs")
    assert sum(row.status == "failed" for row in runs.rows) == 1
    assert "23 of 24 runs finished" in page.status
    assert not page.is_good
    assert "rank=4 is worse (n = 5); rank=64 is better (n = 6); 1 cell cannot be told" in page.headline


def test_a_chart_has_a_dot_for_every_seed_that_belongs_to_its_row(tmp_path: Path) -> None:
    page = ablation_page(ablation_record(), tmp_path)

    charts = next(b for s in page.sections for b in s.blocks if isinstance(b, Charts))
    values, differences = charts.charts[:2]
    assert [len(bar.dots) for bar in values.bars] == [6, 5, 6, 6]  # type: ignore[union-attr]
    assert [bar.estimate.note for bar in differences.bars] == ["n = 5", "n = 6", "n = 6"]  # type: ignore[union-attr]
    (runs,) = tables(page, "Runs")
    keys = {key for bar in values.bars for _, key in bar.dots}  # type: ignore[union-attr]
    assert keys == {row.key for row in runs.rows if row.status == "finished"}


def test_cells_are_the_columns_of_pictures_and_seeds_their_selector(tmp_path: Path) -> None:
    text = write_ablation_page(ablation_record(tmp_path), tmp_path).read_text()

    assert text.count('data-column="rank=64"') == 3 * len(SEEDS)
    assert text.count('data-column="base"') == 3 * len(SEEDS), "the base once for each prompt and seed"
    curves = [each for each in data_of(text)["charts"] if each["x"] == "step"]
    assert len(curves) == 4, "mean and three noise levels"
    assert [line["name"] for line in curves[0]["series"]].count("baseline") == len(SEEDS)


def test_a_claim_is_judged_before_anything_else(tmp_path: Path) -> None:
    record = ablation_record()
    claim = ClaimRecord(
        text="A higher rank learns more", metric="style.pixel.adapter", margin=0.05, verdict="supported",
        reasons=("rank=64 is better",), comparisons=record.comparisons[:2], family=record.families[0],
        says="what 64 pixels say", does_not_say="what 1024 would",
    )  # fmt: skip

    page = ablation_page(dataclasses.replace(record, claim=claim), tmp_path)

    assert page.headline == "A higher rank learns more: supported."
    assert page.sections[0].title == "The claim"
    words = [block.words for block in page.sections[0].blocks if isinstance(block, Text)]
    assert words[0] == "Verdict: supported"
    assert record.families[0].note in words
    assert words[-1] == "What it does not say: what 1024 would"
