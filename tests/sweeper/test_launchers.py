"""Launchers: a trial's place, limits and ends with the default one; the same studies through Hydra's others."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from optuna.trial import TrialState
from tests.sweeper.sweeps import Sweep, account, end

from loralab.study import attrs

FOUR = ("study.num_trials=4", "study.pruner=none", "steps=40")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        ("gpus=[0,1,2,3]", {"0,1", "2,3"}),
        pytest.param("gpus=[3,5]", {"3", "5"}, marks=pytest.mark.slow, id="one"),
    ],
)
def test_every_place_has_gpus_of_its_own(tmp_path: Path, gpus: str, expected: set[str]) -> None:
    per_trial = f"hydra.launcher.gpus_per_trial={len(expected.copy().pop().split(','))}"
    sweep = Sweep(tmp_path, (*FOUR, "study.num_workers=2", f"hydra.launcher.{gpus}", per_trial))

    sweep.run()

    trials, on = sweep.trials(), {start.number: start.gpus for start in sweep.starts()}
    assert set(on.values()) == expected
    for place in expected:
        ours = [trial for trial in trials if on[trial.number] == place]
        assert all(before.datetime_complete < after.datetime_start for before, after in pairwise(ours))


@pytest.mark.slow
def test_a_trial_beyond_its_time_limit_is_infeasible_and_not_repeated(tmp_path: Path) -> None:
    limit = "hydra.launcher.timeout_s=5"
    sweep = Sweep(tmp_path, ("study.num_trials=1", "steps=400", limit), wish={"seconds_per_step": 0.1})

    sweep.run()

    (trial,) = sweep.trials()
    assert trial.state == TrialState.PRUNED
    assert dict(trial.constraints) == {"time": 1.0}
    assert "hydra.launcher.timeout_s=5" in trial.user_attrs[attrs.ERROR]


@pytest.mark.slow
def test_a_program_that_fails_is_tried_again_until_the_study_has_had_enough(tmp_path: Path) -> None:
    limits = ("study.max_retries=1", "study.max_failures=1", "steps=20")
    sweep = Sweep(tmp_path, limits, wish={"fail_above": 0})

    process = sweep.start()
    code = process.wait(60)

    trials = sweep.trials()
    console = (sweep.trial_folder(0) / "console.log").read_text()
    assert code == 2
    assert "2 trials of study s have failed (study.max_failures=1)" in sweep.said()
    assert "ValueError: a mistake of the program's own" in sweep.said()
    assert [trial.user_attrs.get(attrs.RETRY_OF) for trial in trials] == [None, 0]
    assert console.count("ValueError: a mistake of the program's own") >= 2


@pytest.mark.slow
def test_a_process_that_dies_out_of_memory_is_infeasible_and_the_study_goes_on(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, (*FOUR, "study.num_trials=2"), wish={"abort_above": 5e-3})

    sweep.run()

    whole, broken = sweep.trials()
    assert whole.params["optimizer.lr"] < 5e-3 < broken.params["optimizer.lr"]
    assert (whole.state, broken.state) == (TrialState.COMPLETE, TrialState.PRUNED)
    assert dict(broken.constraints) == {"memory": 1.0}


@pytest.mark.parametrize(
    ("launcher", "num_workers"),
    [
        pytest.param(("hydra/launcher=basic",), 1, marks=pytest.mark.slow),
        pytest.param(
            ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), 2, marks=pytest.mark.slow, id="joblib"
        ),
        pytest.param(("hydra/launcher=submitit_local",), 2, marks=pytest.mark.slow, id="submitit"),
    ],
)
def test_other_launchers_run_the_same_study(
    tmp_path: Path, launcher: tuple[str, ...], num_workers: int
) -> None:
    sweep = Sweep(tmp_path, (*FOUR, f"study.num_workers={num_workers}", *launcher))

    said = sweep.run()

    found = account(sweep)
    assert (found.counted, found.lost, found.duplicates, found.twice, found.running) == (4, 0, 0, 0, 0)
    assert [trial.state for trial in sweep.trials()] == [TrialState.COMPLETE] * 4
    assert "best" in said


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [("joblib", "hydra.launcher.n_jobs=2"), ("submitit_local",)])
def test_what_another_launcher_loses_is_repeated(tmp_path: Path, launcher: tuple[str, ...]) -> None:
    overrides = (*FOUR, "study.num_workers=2", f"hydra/launcher={launcher[0]}", *launcher[1:])
    sweep = Sweep(tmp_path, overrides, wish={"die_in": [1], "seconds_per_step": 0.05})

    process = sweep.start()
    code = process.wait(120)
    end(process)

    found = account(sweep)
    assert code == 0, sweep.said()
    assert (found.counted, found.lost, found.duplicates, found.running) == (4, 0, 0, 0)
    assert 1 in [number for number, _ in found.repeated]
