from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import optuna
import pytest
from PIL import Image
from tests.report.study.studies import asked, empty_study, filled_study, finish, loss, two_objectives

from loralab.errors import UserError
from loralab.report.study import Summary, recorded, sections, summarized, write_summary
from loralab.report.study.confirm import arms_of
from loralab.report.study.lines import command, merged, overrides_of, recipe_overrides
from loralab.report.study.printing import plain
from loralab.report.study.ranking import front, place
from loralab.study import attrs

FEW = 20
"""Resamples that are enough to see an interval."""


@pytest.fixture(scope="module")
def summary() -> Summary:
    return summarized(filled_study(), num_resamples=FEW)


def test_trials_are_read_with_their_states(summary: Summary) -> None:
    assert summary.counts == {"finished": 19, "pruned": 2, "infeasible": 1, "failed": 3}
    assert summary.record.rows[0].is_recipe
    assert summary.record.log_params == {"optimizer.lr"}
    assert summary.record.params == ["optimizer.lr", "adapter.rank", "optimizer"]


def test_the_best_are_in_order_and_the_recipe_has_its_place(summary: Summary) -> None:
    values = [row.values[0] for row in summary.best if row.values]
    recipe = summary.record.recipe

    assert values == sorted(values) and len(values) == 19
    assert recipe is not None and recipe.number == 0
    assert place(summary.record, recipe) == 1 + sum(value < loss(3e-3, 16) for value in values)


def test_with_maximize_more_is_better() -> None:
    study = empty_study(objectives={"style.share": "maximize"})
    for index in range(3):
        finish(study, asked(study, lr=1e-3, rank=4 + index), [0.1 * index])

    assert [row.number for row in summarized(study).best] == [2, 1, 0]


def test_trials_beyond_a_limit_are_not_among_the_best() -> None:
    study = empty_study()
    for index, excess in enumerate((0.5, -0.5)):
        trial = asked(study, lr=1e-3, rank=4 + index)
        trial.set_constraint("peak_memory_gib", excess)
        finish(study, trial, [0.1 + index])

    found = summarized(study)

    assert [row.number for row in found.best] == [1]
    assert found.limits == {"beyond the limit of peak_memory_gib": 1}


def test_a_retry_of_the_recipe_is_the_recipe() -> None:
    study = empty_study()
    lost = asked(study, lr=3e-3, rank=16, **{attrs.TAG: attrs.RECIPE})
    study.tell(lost.number, state=optuna.trial.TrialState.FAIL)
    finish(study, asked(study, lr=3e-3, rank=16, **{attrs.RETRY_OF: lost.number}), [0.3])

    recipe = recorded(study).recipe

    assert recipe is not None and recipe.number == 1


def test_several_objectives_have_a_front() -> None:
    record = recorded(two_objectives())

    assert [row.number for row in front(record)] == [3, 2, 1, 0]
    assert len(summarized(two_objectives(), num_resamples=FEW).repeated) == 4


def test_the_parameter_that_matters_leads_and_an_idle_one_does_not(summary: Summary) -> None:
    shares = {share.name: share for share in summary.shares}

    assert summary.shares[0].name == "optimizer.lr"
    assert shares["optimizer"].value < 0.15
    assert sum(share.value for share in summary.shares) == pytest.approx(1)
    assert all(0 <= share.low <= share.high <= 1 for share in summary.shares)
    assert shares["optimizer.lr"].low < shares["optimizer.lr"].high


def test_more_trials_make_the_importance_surer(summary: Summary) -> None:
    many = summarized(filled_study(200), num_resamples=FEW)

    def width(found: Summary) -> float:
        (share,) = (share for share in found.shares if share.name == "optimizer.lr")
        return share.high - share.low

    assert width(many) < width(summary)


def test_few_trials_have_no_importance_and_it_is_said() -> None:
    few = summarized(filled_study(9))

    assert few.shares == []
    assert "4 trials finished: too few to say; 10 are the least" in plain(sections(few))


def test_failures_are_grouped_by_their_first_line(summary: Summary) -> None:
    first, second = summary.failures

    assert (first.reason, first.numbers, first.folder) == (
        "FileNotFoundError: photos/",
        (20, 21),
        "trials/0020",
    )
    assert second.reason.startswith("lost")
    assert (summary.retries.num_attempts, summary.retries.num_finished) == (1, 1)
    assert summary.limits == {"out of memory": 1}


def test_the_cost_counts_what_was_run_and_what_was_not(summary: Summary) -> None:
    cost = summary.cost

    assert cost.num_answered == 1
    assert cost.num_runs == 20
    assert cost.steps_saved == (120 - 40) + (120 - 60)
    assert cost.steps_trained == 18 * 120 + 40 + 60
    assert cost.overhead_per_run_s == pytest.approx(5)
    assert cost.saved_share == pytest.approx(140 / 2400)


def test_the_best_is_repeated_by_its_line_with_the_length_that_counts(summary: Summary) -> None:
    best = summary.best[0]

    line = command(overrides_of(summary.record, best))

    typed = shlex.split(line)
    assert typed[:3] == ["python", "train.py", "model=nano_klein"]
    assert "dataset.trigger='my word'" in typed
    assert [each for each in typed if each.startswith("steps=")] == [f"steps={best.length}"]
    assert f"optimizer.lr={best.params['optimizer.lr']}" in typed


def test_an_answered_trial_has_the_line_of_the_one_that_answered(summary: Summary) -> None:
    first, answered = summary.record.rows[0], summary.record.rows[-1]

    assert answered.answered_by == 0
    assert overrides_of(summary.record, answered) == overrides_of(summary.record, first)


def test_the_recipes_line_has_the_documented_length_and_nothing_that_was_searched(summary: Summary) -> None:
    unsaid = recorded(
        filled_study(9, recipe={"optimizer.lr": 3e-3}, overrides=["model=nano_klein", "steps=120"])
    )

    assert recipe_overrides(summary.record) == ["model=nano_klein", "dataset.trigger='my word'", "steps=120"]
    assert recipe_overrides(unsaid) == ["model=nano_klein"]


def test_a_recipe_of_which_a_part_was_drawn_is_said_to_be(summary: Summary) -> None:
    partly = summarized(filled_study(9, recipe={"optimizer.lr": 3e-3, "optimizer": "adamw"}))

    assert "its adapter.rank was drawn" in plain(sections(partly))
    assert "was drawn" not in plain(sections(summary))
    assert arms_of(partly.record, num_best=1)[0].searched == {}


def test_of_two_overrides_for_one_key_the_later_counts_and_those_of_sweeps_go() -> None:
    typed = ["a=1", "sweep=nano", "study.name=x", "hydra/launcher=joblib", "+b.c=2", "trial.number=3", "a=4"]

    assert merged(typed) == ["a=4", "+b.c=2"]


def test_a_study_beyond_the_safe_ranges_is_repeated_beyond_them() -> None:
    record = recorded(filled_study(9, safety="warn"))

    assert "safety=warn" in overrides_of(record, record.rows[0])


def test_what_is_printed_names_all_that_was_found(summary: Summary) -> None:
    text = plain(sections(summary, num_best=3))

    parts = [
        "Study bowl: 25 trials", "19 finished, 2 pruned, 1 infeasible, 3 failed", "place 6 of 19",
        "steps the score was", "2 x FileNotFoundError: photos/ (trials 20, 21; see trials/0020)",
        "1 trial out of memory", "1 repeated attempt, 1 finished", "pruning saved 140 of 2400 steps (6%)",
        "1 trial answered", "python train.py",
    ]  # fmt: skip
    for part in parts:
        assert part in text, part


def test_the_folder_gets_a_table_a_summary_and_pictures(summary: Summary, tmp_path: Path) -> None:
    written = write_summary(summary, tmp_path)

    pictures = ["history.png", "importance.png", "curves.png", "pareto.png"]
    assert [path.name for path in written] == ["trials.csv", "study.json", *pictures]
    for name in pictures:
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 300
    rows = list(csv.DictReader((tmp_path / "trials.csv").read_text().splitlines()))
    assert len(rows) == 25
    assert float(rows[0]["validation_loss"]) == loss(3e-3, 16)
    assert rows[0]["metrics.style.pixel.adapter"]
    assert rows[20]["error"] == "FileNotFoundError: photos/"
    told = json.loads((tmp_path / "study.json").read_text())
    assert told["best"][0]["trial"] == summary.best[0].number
    assert told["recipe"]["place"] == 6


def test_a_study_without_a_result_is_told_all_the_same(tmp_path: Path) -> None:
    study = empty_study()
    asked(study, lr=1e-3, rank=4)

    found = summarized(study)

    assert [path.name for path in write_summary(found, tmp_path)] == ["trials.csv", "study.json"]
    assert "no trial has finished" in plain(sections(found))


def test_a_study_of_something_else_is_refused() -> None:
    with pytest.raises(UserError, match="holds no settings of a sweep"):
        recorded(optuna.create_study(study_name="foreign"))
