"""What a run's folder and a worker's end mean for its trial."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from optuna.pruners import MedianPruner
from optuna.study import Study, create_study
from optuna.trial import FrozenTrial, TrialState

from loralab.study import Lengths, Outcome, Scoring, StudySettings, Worker, attrs, read_outcome, settle

SCORING = Scoring(
    objectives={"validation_loss": "minimize"}, constraints={"peak_memory_gib": 4.0}, lengths=Lengths(10, 20)
)
RESULT = {
    "status": "finished",
    "validation": [[0, 1.0], [10, 0.5], [20, 0.75], [30, 0.25]],
    "validation_bands": {"0.10": {"10": 0.4, "20": 0.7}, "0.90": {"10": 0.6}},
    "stages": {
        "encode": {"wall_time_s": 1.0, "peak_memory_gib": 5.0},
        "train": {"wall_time_s": 8.0, "peak_memory_gib": 3.0},
    },
    "style": {"pixel": {"adapter": {"value": 0.2}}},
}


def left(folder: Path, **changes: Any) -> Outcome | None:
    (folder / "result.json").write_text(json.dumps({**RESULT, **changes}))
    return read_outcome(folder, SCORING)


def told(outcome: Outcome, scoring: Scoring = SCORING) -> FrozenTrial:
    study = create_study()
    study.ask()
    settle(study, 0, outcome=outcome, scoring=scoring)
    return study.trials[0]


def test_a_finished_run_scores_by_the_best_length_that_is_asked_about(tmp_path: Path) -> None:
    outcome = left(tmp_path)

    assert outcome is not None
    assert (outcome.kind, outcome.length) == ("scored", 10)
    assert outcome.metrics["validation_loss"] == 0.5
    assert outcome.bands == {"0.10": 0.4, "0.90": 0.6}
    assert outcome.metrics["style.pixel.adapter.value"] == 0.2
    assert outcome.cost == {"wall_time_s": 9.0, "train_s": 8.0, "peak_memory_gib": 5.0}


def test_a_limit_that_is_exceeded_makes_a_scored_trial_infeasible(tmp_path: Path) -> None:
    outcome = left(tmp_path)
    assert outcome is not None

    trial = told(outcome)

    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.5)
    assert trial.constraints == {"peak_memory_gib": 0.25}


@pytest.mark.parametrize(
    ("changes", "state", "constraints"),
    [
        ({"status": "diverged", "reason": "nan"}, TrialState.PRUNED, {"divergence": 1.0}),
        ({"status": "pruned", "steps": 10}, TrialState.PRUNED, {}),
        ({"status": "interrupted"}, TrialState.FAIL, {}),
        ({"validation": []}, TrialState.FAIL, {"peak_memory_gib": 0.25}),
    ],
)
def test_every_other_end_has_its_state(
    tmp_path: Path, changes: dict[str, Any], state: TrialState, constraints: dict[str, float]
) -> None:
    outcome = left(tmp_path, **changes)
    assert outcome is not None

    trial = told(outcome)

    assert (trial.state, trial.constraints) == (state, constraints)


def test_a_missing_metric_is_a_failure_that_names_it(tmp_path: Path) -> None:
    outcome = left(tmp_path)
    assert outcome is not None

    trial = told(outcome, Scoring(objectives={"styl.pixel": "minimize"}, constraints={}, lengths=None))

    assert trial.state == TrialState.FAIL
    assert "no finite styl.pixel" in trial.user_attrs[attrs.ERROR]


def test_a_torn_or_missing_result_says_nothing(tmp_path: Path) -> None:
    assert read_outcome(tmp_path, SCORING) is None
    (tmp_path / "result.json").write_text('{"status": "fini')
    assert read_outcome(tmp_path, SCORING) is None


def test_a_trial_is_told_once(tmp_path: Path) -> None:
    study = create_study()
    study.ask()
    outcome = left(tmp_path)
    assert outcome is not None

    settle(study, 0, outcome=outcome, scoring=SCORING)
    settle(study, 0, outcome=Outcome(kind="failed", reason="late"), scoring=SCORING)

    assert (study.trials[0].state, study.trials[0].value) == (TrialState.COMPLETE, 0.5)


def working(folder: Path, error: BaseException | None) -> tuple[Study, FrozenTrial]:
    study = create_study()
    study.ask()
    worker = Worker(study, 0, settings=StudySettings(name="s"))
    if error is None:
        with worker.at_work(folder):
            (folder / "result.json").write_text(json.dumps(RESULT))
    else:
        with pytest.raises(type(error)), worker.at_work(folder):
            raise error
    return study, study.trials[0]


def test_a_worker_tells_its_result_and_gives_signs_of_life(tmp_path: Path) -> None:
    _, trial = working(tmp_path, None)

    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.25)
    assert attrs.WORKER in trial.user_attrs
    assert "overhead_s" in trial.user_attrs[attrs.COST]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_worse_loss_is_pruned_whichever_way_the_objective_goes(direction: str) -> None:
    study = create_study(direction=direction, pruner=MedianPruner(n_startup_trials=1, n_warmup_steps=0))
    settings = StudySettings(name="s", objectives={"style.similarity": direction})
    answers = []
    for loss in (0.2, 0.9):
        trial = study.ask()
        answers.append(Worker(study, trial.number, settings=settings).report(10, loss))
        study.tell(trial, 1.0)

    assert answers == [False, True]


@pytest.mark.parametrize(
    ("error", "state", "constraints"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), TrialState.PRUNED, {"memory": 1.0}),
        (MemoryError(), TrialState.PRUNED, {"memory": 1.0}),
        (ValueError("no such layer"), TrialState.FAIL, {}),
        (KeyboardInterrupt(), TrialState.FAIL, {}),
    ],
)
def test_a_worker_that_is_stopped_by_an_error_says_which(
    tmp_path: Path, error: BaseException, state: TrialState, constraints: dict[str, float]
) -> None:
    _, trial = working(tmp_path, error)

    assert (trial.state, trial.constraints) == (state, constraints)
    assert trial.user_attrs[attrs.ERROR]
