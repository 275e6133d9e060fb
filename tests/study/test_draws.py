"""What comes next in a study, whatever happened before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.study import Study, create_study
from optuna.trial import TrialState

from loralab.errors import UserError
from loralab.study import (
    Draw,
    Draws,
    Lengths,
    Outcome,
    Plan,
    Scoring,
    Space,
    StudySettings,
    attrs,
    open_storage,
    settle,
)

SCORING = Scoring(objectives={"validation_loss": "minimize"}, constraints={}, lengths=None)
SPACE = Space({"x": FloatDistribution(-5.0, 5.0), "y": FloatDistribution(-5.0, 5.0)})
PLAN = Plan(space=SPACE, points=[{"x": 1.0, "y": 2.0}], recipe={"x": 1.0, "y": 2.0}, searches=True)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the folders of studies into the test's own."""
    monkeypatch.chdir(tmp_path)


def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'study.db'}"


def opened(where: str) -> Study:
    return create_study(study_name="s", storage=open_storage(where), load_if_exists=True)


def drawing(where: str, *, plan: Plan = PLAN, **settings: Any) -> Draws:
    chosen = StudySettings(name="s", storage=where, **{"num_trials": 6, **settings})
    return Draws(opened(where), settings=chosen, url=where, plan=plan, scoring=SCORING)


def score(study: Study, draw: Draw, loss: float | None = None) -> None:
    value = sum(v**2 for v in draw.point.values() if not isinstance(v, str)) if loss is None else loss
    outcome = Outcome(kind="scored", metrics={"validation_loss": value})
    settle(study, draw.number, outcome=outcome, scoring=SCORING)


def fail(study: Study, draw: Draw, reason: str) -> None:
    settle(study, draw.number, outcome=Outcome(kind="failed", reason=reason), scoring=SCORING)


def drawn_to_the_end(draws: Draws, study: Study) -> list[Mapping[str, Any]]:
    points = []
    while (draw := draws.next()) is not None:
        points.append(draw.point)
        score(study, draw)
    return points


def test_the_recipe_comes_first_and_the_budget_is_the_studys(tmp_path: Path) -> None:
    study = opened(url(tmp_path))

    points = drawn_to_the_end(drawing(url(tmp_path)), study)
    more = drawn_to_the_end(drawing(url(tmp_path), num_trials=9), study)

    assert points[0] == {"x": 1.0, "y": 2.0}
    assert study.trials[0].user_attrs[attrs.TAG] == "recipe"
    assert (len(points), len(more)) == (6, 3)
    assert drawn_to_the_end(drawing(url(tmp_path), num_trials=9), study) == []


@pytest.mark.parametrize(
    ("sampler", "lost_each"),
    [
        ("tpe", 3),
        pytest.param("random", 3, marks=pytest.mark.slow),
        pytest.param("nsgaii", 3, marks=pytest.mark.slow),
        pytest.param("gp", 3, marks=pytest.mark.slow),
        pytest.param("qmc", 0, marks=pytest.mark.slow),
        pytest.param("cmaes", 0, marks=pytest.mark.slow),
    ],  # the last two count losses
)
def test_an_interrupted_study_draws_on_as_one_that_was_not(
    tmp_path: Path, sampler: str, lost_each: int
) -> None:
    whole, parts = f"sqlite:///{tmp_path / 'a.db'}", f"sqlite:///{tmp_path / 'b.db'}"
    expected = drawn_to_the_end(drawing(whole, num_trials=14, sampler=sampler), opened(whole))

    study, found = opened(parts), []
    for number in range(14):  # a new process each time, and some trials lost at first
        draw = drawing(parts, num_trials=14, sampler=sampler).next()
        assert draw is not None
        if lost_each and number % lost_each == 0:
            fail(study, draw, "lost")
            draw = drawing(parts, num_trials=14, sampler=sampler, max_failures=9).next()
            assert draw is not None
        score(study, draw)
        found.append(draw.point)

    assert found == expected
    assert len({point["x"] for point in expected}) == 14


def test_what_failed_is_repeated_in_its_folder_until_its_attempts_are_used_up(tmp_path: Path) -> None:
    study, draws = opened(url(tmp_path)), drawing(url(tmp_path), max_retries=2, max_failures=9)

    attempts = []
    for _ in range(3):
        draw = draws.next()
        assert draw is not None
        attempts.append(draw)
        fail(study, draw, "no luck")
    after = draws.next()

    assert after is not None
    assert [draw.point for draw in attempts] == [{"x": 1.0, "y": 2.0}] * 3
    assert len({draw.folder for draw in attempts}) == 1
    assert after.point != attempts[0].point


def test_a_repeat_goes_on_from_the_checkpoint_that_a_lost_trial_has_left(tmp_path: Path) -> None:
    study, draws = opened(url(tmp_path)), drawing(url(tmp_path))
    first = draws.next()
    assert first is not None
    first.folder.mkdir(parents=True)
    (first.folder / "checkpoint.ckpt").write_text("10")
    fail(study, first, "lost")

    again = draws.next()

    assert again is not None
    assert again.resumes
    assert not first.resumes


def test_too_many_failures_stop_the_study_with_the_last_reason(tmp_path: Path) -> None:
    study, draws = opened(url(tmp_path)), drawing(url(tmp_path), max_failures=1)
    for _ in range(2):
        draw = draws.next()
        assert draw is not None
        fail(study, draw, "KeyError: 'latents'")

    with pytest.raises(UserError, match=r"2 trials of study s have failed.*KeyError"):
        draws.next()


def test_being_asked_to_stop_is_no_failure_and_costs_no_attempt(tmp_path: Path) -> None:
    study, draws = opened(url(tmp_path)), drawing(url(tmp_path), max_failures=0, max_retries=1)
    for _ in range(4):
        draw = draws.next()
        assert draw is not None
        fail(study, draw, "interrupted")

    last = draws.next()

    assert last is not None
    assert last.point == {"x": 1.0, "y": 2.0}


def test_parameters_that_have_a_score_are_answered_without_a_run(tmp_path: Path) -> None:
    small = Plan(Space({"rank": CategoricalDistribution([8, 16])}), points=[], recipe={}, searches=True)
    study, draws = opened(url(tmp_path)), drawing(url(tmp_path), plan=small, num_trials=8)

    points = drawn_to_the_end(draws, study)

    answered = [trial for trial in study.trials if attrs.ANSWERED_BY in trial.user_attrs]
    assert len(points) == 2
    assert len(study.trials) == 8
    assert len(answered) == 6
    assert all(t.value == study.trials[t.user_attrs[attrs.ANSWERED_BY]].value for t in answered)


def test_a_recipe_that_lies_partly_outside_is_completed_by_a_draw_and_tried_once(tmp_path: Path) -> None:
    plan = Plan(SPACE, points=[{"x": 1.0}], recipe={"x": 1.0}, searches=True)
    study = opened(url(tmp_path))

    points = drawn_to_the_end(drawing(url(tmp_path), plan=plan), study)

    assert points[0]["x"] == 1.0
    assert -5 <= points[0]["y"] <= 5
    assert [point["x"] for point in points].count(1.0) == 1
    assert len(study.trials) == 6


def test_a_plan_is_gone_through_once_over_any_number_of_processes(tmp_path: Path) -> None:
    points = [{"rank": rank} for rank in (4, 8, 16)]
    space = Space({"rank": CategoricalDistribution([4, 8, 16])})
    plan = Plan(space, points=points, recipe={}, searches=False)
    study = opened(url(tmp_path))

    first, second = drawing(url(tmp_path), plan=plan), drawing(url(tmp_path), plan=plan)
    taken = [draws.next() for draws in (first, second, first, second)]

    assert [draw and draw.point for draw in taken] == [*points, None]
    assert not first.is_done()
    for draw in taken:
        if draw is not None:
            score(study, draw)
    assert first.is_done()


def test_a_trial_whose_owner_is_gone_is_told_by_its_folder_or_repeated(tmp_path: Path) -> None:
    where = url(tmp_path)
    finished = {"status": "finished", "validation": [[0, 1.0], [10, 0.25]]}
    folder = _drawn_by_a_process_that_ends(where)
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(finished))
    _drawn_by_a_process_that_ends(where)

    draw = drawing(where).next()

    trials = opened(where).trials
    assert (trials[0].state, trials[0].value) == (TrialState.COMPLETE, 0.25)
    assert trials[1].state == TrialState.FAIL
    assert draw is not None
    assert draw.point == trials[1].params


def test_a_trial_of_another_machine_is_waited_for_until_its_lease_ends(tmp_path: Path) -> None:
    study, draws = opened(url(tmp_path)), drawing(url(tmp_path), lease_s=60)
    draw = draws.next()
    assert draw is not None
    sign = [study.trials[0].user_attrs[attrs.SWEEPER][0], "another-machine", 1, 0.0]
    study._storage.set_trial_user_attr(draw.trial_id, attrs.SWEEPER, sign)

    draws.next()
    states = [study.trials[0].state]
    study._storage.set_trial_user_attr(draw.trial_id, attrs.SWEEPER, [sign[0] - 61, *sign[1:]])
    draws.next()

    assert [*states, study.trials[0].state] == [TrialState.RUNNING, TrialState.FAIL]


def test_a_curve_scores_the_best_allowed_length() -> None:
    curve = [(0, 1.0), (50, 0.2), (100, 0.4), (150, 0.3), (200, 0.1)]

    assert Lengths(100, 150).best(curve) == (150, 0.3)
    assert Lengths(50, 200, (50, 100)).best(curve) == (50, 0.2)
    assert Lengths(10, 20).best(curve) is None


def _drawn_by_a_process_that_ends(where: str) -> Path:
    """Lets another process take the next trial and end without a word; gives the trial's folder."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from tests.study import test_draws as t\n"
        "draw = t.drawing(sys.argv[1]).next(); print(draw.folder)"
    )
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", code, where, root]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return Path(out.stdout.strip().splitlines()[-1])
