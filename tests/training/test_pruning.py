"""Runs that a study gives up end everywhere at the same step, and leave what was measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from optuna.study import create_study
from optuna.trial import TrialState
from tests.training.runs import finished, save_pictures, tiny_config

from loralab.study import attrs, open_storage


@pytest.mark.slow
def test_both_processes_of_a_trial_stop_at_the_step_at_which_the_first_one_is_told_to(
    tmp_path: Path,
) -> None:
    script = str(Path(__file__).with_name("distributed.py"))

    subprocess.run([sys.executable, script, str(tmp_path)], check=True, capture_output=True, timeout=120)

    assert [(tmp_path / rank).read_text() for rank in ("0", "1")] == ["6 6", "6 6"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")
def test_a_trial_that_is_worse_than_others_were_is_pruned_and_tells_what_it_measured(
    tmp_path: Path, tiny_klein_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    study = create_study(study_name="s", storage=open_storage(storage))
    for _ in range(2):
        better = study.ask()
        for step in range(1, 7):
            better.report(0.0, step)
        study.tell(better, 0.0)
    study.ask()
    config = tiny_config(
        tiny_klein_folder,
        save_pictures(tmp_path / "pictures"),
        *["steps=6", "run.validate_every=2", "dataset.validation_fraction=0.4", "trial.number=2"],
        *["study.name=s", f"study.storage='{storage}'", "study.pruner_options={n_startup_trials: 1}"],
        cache=tmp_path / "cache",
    )

    result = finished(config, tmp_path / "run")

    trial = study.trials[2]
    assert trial.state == TrialState.PRUNED
    assert result["status"] == "pruned"
    assert result["steps"] == trial.user_attrs[attrs.PRUNED_AT] == 2
    assert [step for step, _ in trial.user_attrs[attrs.CURVE]] == [0, 2]
    assert set(result["validation_bands"]["0.50"]) == {"0", "2"}
    assert trial.user_attrs[attrs.COST]["overhead_s"] > 0
