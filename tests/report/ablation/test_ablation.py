"""From a study to a record, and from the record to tables, figures and a paper."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.stats import t
from tests.report.ablation.ablations import filled
from tests.study.ablation.definitions import ablation

from loralab.cli import paper as paper_command
from loralab.errors import UserError
from loralab.report.ablation import (
    AblationRecord,
    ablation_sections,
    planned_ablation,
    read_record,
    recorded_ablation,
    write_ablation,
)
from loralab.report.ablation.analysis import summarised
from loralab.report.ablation.appendix import appendix_latex
from loralab.report.ablation.claim import NOT_DECIDABLE, NOT_MEASURED, NOT_SUPPORTED, SUPPORTED, judged
from loralab.report.ablation.figures import draw_values
from loralab.report.ablation.formats import escaped, latex, runs_csv
from loralab.report.ablation.paper import Paper, compiled, paper_source, write_paper
from loralab.report.ablation.record import ClaimRecord
from loralab.report.ablation.tables import tables_of
from loralab.report.study.printing import plain
from loralab.study.ablation import Ablation, cells_of

SIX = (0, 1, 2, 3, 4, 5)
DIFFERENCES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.9)
"""Mean 0.4, squares of deviations 0.4, so a deviation of sqrt(0.08)."""
CLAIM = {
    "text": "Rank 4 is worse & costs 5 %.", "metric": "style.distance", "margin": 0.05, "says": "This.",
    "does_not_say": "That.", "expected": [{"cell": "rank=4", "expects": "worse"}],
}  # fmt: skip


def asked(**changed: object) -> Ablation:
    """An ablation of rank alone under six seeds, which claims that rank 4 is worse."""
    rank = {"baseline": 16, "levels": {16: ["adapter.rank=16"], 4: ["adapter.rank=4"]}}
    return ablation(**{"factors": {"rank": rank}, "seeds": list(SIX), "claim": CLAIM, **changed})


def value(cell: str, seed: int, *, scale: float = 1.0) -> float:
    """The baseline lies around 2, rank 4 above it by the differences."""
    base = 2.0 + 0.1 * (seed % 3)
    return base + (scale * DIFFERENCES[seed % 6] if cell == "rank=4" else 0.0)


def claim_of(definition: Ablation, outcome: Callable[[str, int], float | None]) -> ClaimRecord:
    """Judges what these values say."""
    runs = [
        run if (found := outcome(run.cell, run.seed)) is None
        else dataclasses.replace(run, status="finished", metrics={"style.distance": found})
        for run in planned_ablation(definition).runs
    ]  # fmt: skip
    return judged(definition, summarised(runs, cells=cells_of(definition), metrics=definition.metrics))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ablation with all its runs, two confirmations, and more seeds than have been run."""
    definition = asked(confirm={"cells": ["rank=4"], "seeds": [100, 101]})
    return filled(tmp_path_factory.mktemp("out") / "ablations" / "small", definition, value)


@pytest.fixture(scope="module")
def record(folder: Path) -> AblationRecord:
    return recorded_ablation(folder)


def test_a_comparison_is_what_one_works_out_by_hand(record: AblationRecord) -> None:
    """D has mean 0.4 and deviation sqrt(0.08); Student's half width is t(0.975, 5) sqrt(0.08 / 6); p is 2 / 64."""
    found = next(each for each in record.comparisons if each.purpose == "planned")
    half = t.ppf(0.975, 5) * math.sqrt(0.08 / 6)

    assert found.seeds == SIX and found.difference.value == pytest.approx(0.4)
    assert (found.student.low, found.student.high) == (pytest.approx(0.4 - half), pytest.approx(0.4 + half))
    assert found.effect is not None and found.effect.value == pytest.approx(
        0.8407 * 0.4 / math.sqrt(0.08), rel=1e-4
    )
    assert (found.p, found.holm_p, found.reading) == (0.03125, 0.03125, "worse")
    assert found.share == pytest.approx(0.4 / 2.1)


def test_confirmation_runs_are_apart_from_the_planned_ones(record: AblationRecord) -> None:
    seeds = {(each.purpose, each.cell): tuple(each.values) for each in record.summaries}

    assert seeds["planned", "rank=4"] == SIX and seeds["confirmation", "rank=4"] == (100, 101)
    assert {each.purpose: each.num_seeds for each in record.families} == {"planned": 6, "confirmation": 2}


def test_runs_that_failed_or_were_not_run_are_in_the_record_the_table_and_the_csv(tmp_path: Path) -> None:
    def outcome(cell: str, seed: int) -> float | str | None:
        known: dict[tuple[str, int], str | None] = {
            ("rank=4", 0): "ValueError: a mistake", ("rank=4", 1): "interrupted", ("baseline", 5): None,
        }  # fmt: skip
        return known.get((cell, seed), value(cell, seed))

    found = recorded_ablation(filled(tmp_path / "ablations" / "hurt", asked(), outcome))
    statuses = {(run.cell, run.seed): run.status for run in found.runs if run.status != "finished"}
    text = plain(ablation_sections(found))
    rows = list(csv.DictReader(io.StringIO(runs_csv(found))))

    assert statuses == {("rank=4", 0): "failed", ("rank=4", 1): "not run", ("baseline", 5): "not run"}
    assert found.comparisons[0].seeds == (2, 3, 4)
    assert "4 of 6 (1 failed, 1 not run)" in text and "ValueError: a mistake" in text
    assert len(rows) == 12 and sum(row["status"] == "failed" for row in rows) == 1
    assert not found.is_complete


@pytest.mark.parametrize(
    ("scale", "seeds", "verdict"),
    [
        (1.0, SIX, SUPPORTED),
        (1.0, SIX[:5], NOT_DECIDABLE),  # five pairs cannot give a p below 0.05
        (-1.0, SIX, NOT_SUPPORTED),
        (0.1, SIX, NOT_SUPPORTED),  # 0.04 [0.01, 0.07] of 2.1 rules 5 % out
        (0.25, SIX, NOT_DECIDABLE),  # 0.1 [0.025, 0.175]: p is small, and the mean less than the margin
        (1.0, SIX[:1], NOT_MEASURED),
    ],
)
def test_a_claim_is_judged_by_its_rule(scale: float, seeds: tuple[int, ...], verdict: str) -> None:
    claim = claim_of(asked(), lambda cell, seed: value(cell, seed, scale=scale) if seed in seeds else None)

    assert claim.verdict == verdict and claim.reasons


def test_a_claim_about_more_being_better_is_judged_the_other_way_round() -> None:
    assert claim_of(asked(metrics={"style.distance": "maximize"}), value).verdict == NOT_SUPPORTED


def test_the_record_is_read_back_as_it_was_and_everything_is_written_beside_it(
    tmp_path: Path, record: AblationRecord
) -> None:
    written = write_ablation(record, tmp_path)

    assert read_record(tmp_path / "ablation.json") == record
    made = {path.relative_to(tmp_path).as_posix() for path in written}
    assert {
        "tables/style_distance.tex", "tables/style_distance.md", "tables/style_distance_confirmation.md",
        "tables/runs.csv", "tables/comparisons.csv", "figures/style_distance_values.pdf", "appendix.md",
        "figures/style_distance_differences.svg", "figures/validation_curves.pdf", "appendix.tex",
    } <= made  # fmt: skip


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ablation.json").write_text("{}")

    with pytest.raises(UserError, match="is no record of an ablation"):
        read_record(tmp_path / "ablation.json")


def test_a_p_never_stands_without_its_n_and_a_family_without_tests_says_so(
    tmp_path: Path, record: AblationRecord
) -> None:
    few = recorded_ablation(filled(tmp_path / "few", asked(seeds=[0, 1, 2, 3, 4]), value))

    assert tables_of(record)[0].rows[1][-1] == "0.0312 (n = 6)"
    assert tables_of(few)[0].rows[1][-1] == "" and "no test" in " ".join(tables_of(few)[0].notes)
    assert "*" not in "".join(cell for table in tables_of(record) for row in table.rows for cell in row)


def test_latex_has_booktabs_rules_and_shows_special_characters_as_they_are(record: AblationRecord) -> None:
    text = latex(tables_of(record)[0])

    assert r"\toprule" in text and r"\bottomrule" in text and "rank=4" in text
    assert escaped("a_b & -0.5 ± 5 % x-1") == r"a\_b \& $-$0.5 $\pm$ 5 \% x-1"


def test_figures_are_vectors_with_their_fonts_inside_and_tell_what_is_seen(
    tmp_path: Path, record: AblationRecord
) -> None:
    pdf, svg = draw_values(record, record.metrics[0], tmp_path / "values")
    drawn, again = svg.read_text(), draw_values(record, record.metrics[0], tmp_path / "values")[1].read_text()

    assert b"/FontFile2" in pdf.read_bytes() and b"/Type3" not in pdf.read_bytes()
    assert "<text" not in drawn and "<image" not in drawn and "rank=4: mean 2.5 over 6 seeds" in drawn
    assert drawn == again


def test_the_paper_says_what_was_not_measured_and_prints_the_command_that_would(
    record: AblationRecord,
) -> None:
    unknown = dataclasses.replace(planned_ablation(asked()), name="unknown")
    source = paper_source(Paper("Claims", "claims", "python -m loralab paper claims", (record, unknown)))

    assert r"\paragraph{Verdict: supported.}" in source and r"\paragraph{Verdict: not measured.}" in source
    assert "python train.py $-$m" not in source and "python train.py -m ablation=small" in source
    assert r"Rank 4 is worse \& costs 5 \%." in source


def test_a_digest_and_a_path_may_go_on_in_the_next_line_of_the_appendix(record: AblationRecord) -> None:
    origin = dataclasses.replace(record.origin, data={"a/b": "SHA-256 " + "0123456789abcdef" * 4})

    text = appendix_latex(dataclasses.replace(record, origin=origin))

    assert r"a/\allowbreak{}b" in text
    assert r"0123456789abcdef\allowbreak{}0123456789abcdef\allowbreak{}" in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_the_paper_compiles(tmp_path: Path, record: AblationRecord) -> None:
    paper = Paper("Claims", "claims", "python -m loralab paper claims", (record, planned_ablation(asked())))

    pdf = compiled(write_paper(paper, tmp_path)[-1])

    assert pdf is not None and pdf.read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_the_papers_command_writes_its_source_for_claims_that_were_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    paper_command.main(["claims", "compile=false"])

    assert (tmp_path / "docs/claims/claims.tex").read_text().count("Verdict: not measured") >= 7


def test_a_paper_without_claims_is_refused() -> None:
    with pytest.raises(UserError, match=r"no file conf/ablation/nano_klein\*\.yaml has a claim"):
        paper_command.main(["nano_klein"])
