"""Sweeps from the command line, over a program whose loss is a formula."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.study import Study
from optuna.trial import TrialState

from loralab.study import attrs, load

PROGRAM = Path(__file__).with_name("program.py")
RATE, RANKS = "optimizer.lr=tag(log,interval(1e-3,1e-2))", "adapter.rank=8,16,32"


def sweep(folder: Path, *overrides: str, **wish: object) -> subprocess.CompletedProcess[str]:
    """Runs a sweep with two trials at a time."""
    command = [sys.executable, str(PROGRAM), "-m", "study.name=s", "study.num_workers=2", "safety=off"]
    env = {**os.environ, "PROGRAM": json.dumps(wish)}
    return subprocess.run(
        [*command, *overrides], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )


def study(folder: Path) -> Study:
    return load("s", root=folder / "outputs" / "studies")


@pytest.mark.slow
def test_a_search_has_its_trials_finds_better_than_the_recipe_and_goes_on(tmp_path: Path) -> None:
    first = sweep(tmp_path, RATE, RANKS, "study.num_trials=4", "study.pruner=none", "steps=40")
    again = sweep(tmp_path, RATE, RANKS, "study.num_trials=6", "study.pruner=none", "steps=40")

    assert (first.returncode, again.returncode) == (0, 0), first.stdout + again.stdout
    trials = study(tmp_path).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    assert trials[0].params == {"optimizer.lr": 0.003, "adapter.rank": 16}
    assert len({trial.params["optimizer.lr"] for trial in trials}) == 6
    assert {path.name for path in (tmp_path / "outputs/studies/s/trials").iterdir()} == {
        f"{number:04d}" for number in range(6)
    }
    assert "python train.py safety=off steps=40 optimizer.lr=" in again.stdout


@pytest.mark.slow
def test_every_combination_is_run_without_a_word_about_a_search(tmp_path: Path) -> None:
    done = sweep(tmp_path, "adapter.rank=8,16", "seed=0,1", "study.pruner=none", "steps=20")

    points = [tuple(trial.params.values()) for trial in study(tmp_path).trials]
    assert done.returncode == 0, done.stdout
    assert sorted(points) == [(rank, seed) for rank in (8, 16) for seed in (0, 1)]


@pytest.mark.slow
def test_one_long_trial_scores_every_shorter_length_and_none_is_run_again(tmp_path: Path) -> None:
    done = sweep(tmp_path, RANKS, "steps=40,80,120", "study.pruner=none", "optimizer.lr=9e-3")

    trials = study(tmp_path).trials
    assert done.returncode == 0, done.stdout
    assert [trial.params for trial in trials] == [{"adapter.rank": rank} for rank in (8, 16, 32)]
    for trial in trials:
        at = {step: loss for step, loss in trial.user_attrs[attrs.CURVE] if step in (40, 80, 120)}
        assert trial.value == min(at.values())
        assert at[trial.user_attrs[attrs.LENGTH]] == trial.value
        assert max(step for step, _ in trial.user_attrs[attrs.CURVE]) == 120
    assert "steps=120" not in done.stdout.partition("again")[2]


@pytest.mark.slow
def test_steps_are_drawn_where_a_schedule_makes_every_length_another_run(tmp_path: Path) -> None:
    done = sweep(tmp_path, "schedule=cosine", "steps=40,80", "study.pruner=none")

    assert done.returncode == 0, done.stdout
    assert [trial.params for trial in study(tmp_path).trials] == [{"steps": 40}, {"steps": 80}]


@pytest.mark.slow
def test_what_runs_out_of_memory_or_diverges_is_infeasible_and_the_study_goes_on(tmp_path: Path) -> None:
    done = sweep(
        tmp_path,
        RATE,
        "study.num_trials=8",
        "study.pruner=none",
        "steps=20",
        oom_above=7e-3,
        diverge_above=5e-3,
    )

    trials = study(tmp_path).trials
    broken = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert done.returncode == 0, done.stdout
    assert {trial.params["optimizer.lr"] > 5e-3 for trial in broken} == {True}
    assert {name for trial in broken for name in trial.constraints} == {"memory", "divergence"}
    assert all(trial.params["optimizer.lr"] <= 5e-3 for trial in trials if trial not in broken)


@pytest.mark.slow
def test_a_limit_on_memory_makes_the_best_trial_one_that_keeps_it(tmp_path: Path) -> None:
    done = sweep(
        tmp_path,
        "adapter.rank=8,16,32",
        "study.constraints={peak_memory_gib: 2.6}",
        "study.pruner=none",
        "steps=20",
    )

    found = study(tmp_path)
    assert done.returncode == 0, done.stdout
    assert found.best_trial.params == {"adapter.rank": 8}
    assert found.trials[1].value < found.trials[0].value


@pytest.mark.slow
def test_several_objectives_give_a_front(tmp_path: Path) -> None:
    objectives = "study.objectives={validation_loss: minimize, peak_memory_gib: minimize}"

    done = sweep(tmp_path, RANKS, objectives, "steps=40")

    found = study(tmp_path)
    assert done.returncode == 0, done.stdout
    assert found.metric_names == ["validation_loss", "peak_memory_gib"]
    assert {trial.params["adapter.rank"] for trial in found.best_trials} == {8, 16}


@pytest.mark.slow
def test_a_file_of_ones_own_may_search_settings_under_a_choice_only(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "search: {optimizer: 'choice(adamw,prodigy)'}\n"
        "when: {optimizer: {prodigy: {optimizer.d_coef: 'choice(0.5,2.0)'}}}\n"
        "overrides: [steps=20]\n"
    )

    done = sweep(tmp_path, "sweep=mine.yaml", "study.design=grid", "study.pruner=none")

    assert done.returncode == 0, done.stdout
    assert [trial.params for trial in study(tmp_path).trials] == [
        {"optimizer": "adamw"},
        {"optimizer": "prodigy", "optimizer.d_coef": 0.5},
        {"optimizer": "prodigy", "optimizer.d_coef": 2.0},
    ]


@pytest.mark.slow
def test_a_score_of_an_evaluation_is_read_from_result_json(tmp_path: Path) -> None:
    done = sweep(tmp_path, RANKS, "study.objectives={style.distance: minimize}", "steps=40")

    trial = study(tmp_path).trials[0]
    assert done.returncode == 0, done.stdout
    assert trial.value == pytest.approx(trial.user_attrs[attrs.METRICS]["validation_loss"] / 2)


REFUSED = (
    (["steps=10"], "nothing is searched: name a file of sweeps/"),
    ([RANKS, "study.sampler=annealing"], "study.sampler=annealing is unknown; choose one of tpe,"),
    ([RANKS, "study.sampler_options={wings: 2}", "study.design=search"], "study.sampler_options of tpe:"),
    ([RANKS, "ema_decay=2"], "ema_decay=2 must be at least 0"),
    (
        [RANKS, "steps=10,20", "schedule=cosine", "study.lengths=snapshots"],
        "schedule.decay must be constant",
    ),
    ([RANKS, "study.enqueue=[{adapter.rank: 64}]"], "adapter.rank of {'adapter.rank': 64} lies outside"),
    ([RANKS, "hydra.launcher.gpus=[0]"], "hydra.launcher.gpus=[0] are too few for study.num_workers=2"),
    (
        [RANKS, "hydra/launcher=basic"],
        "study.num_workers=2 needs processes; hydra/launcher=basic has none",
    ),
    (["sweep=zimage_turbo"], "sweep=zimage_turbo is about model=zimage_turbo, but model=nano_klein was"),
    (["sweep=klein"], "sweep=klein: there is no"),
    (
        ["sweep=nano_klein", "optimizer.lr=1e-3,1e-1", "safety=strict"],
        "the search of optimizer.lr has 0.1, outside the safe range",
    ),
    ([RANKS, "study.storage=here.db"], "study.storage=here.db is no URL: use sqlite:///file.db"),
)


def test_what_cannot_be_swept_is_said_before_anything_runs(tmp_path: Path) -> None:
    usual = ["-m", "study.name=s", "study.num_workers=2", "safety=off"]
    folders = [tmp_path / str(number) for number in range(len(REFUSED))]
    for folder in folders:
        folder.mkdir()
    cases = [
        (str(folder), [*usual, *overrides]) for folder, (overrides, _) in zip(folders, REFUSED, strict=True)
    ]
    command = [sys.executable, str(PROGRAM.with_name("forked.py")), str(PROGRAM), json.dumps(cases)]
    env = {**os.environ, "PROGRAM": "{}"}

    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)

    assert json.loads(done.stdout.splitlines()[-1]) == [2] * len(REFUSED), done.stdout + done.stderr
    for folder, (_, message) in zip(folders, REFUSED, strict=True):
        assert message in (folder / "said").read_text()
        assert not (folder / "outputs/studies/s/trials").exists()


@pytest.mark.slow
def test_a_study_that_compares_other_runs_is_not_gone_on_with(tmp_path: Path) -> None:
    sweep(tmp_path, RANKS, "steps=20")

    done = sweep(tmp_path, RANKS, "steps=30")

    assert done.returncode == 2
    assert "study.name=s" in done.stdout
    assert "compares other runs" in done.stdout
    assert len(study(tmp_path).trials) == 3


def test_a_further_process_of_a_distributed_run_starts_no_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")

    done = sweep(tmp_path, RANKS)

    assert done.returncode == 2
    assert "must not start a sweep" in done.stdout


@pytest.mark.slow
def test_the_line_of_a_trial_runs_again_and_leaves_the_study_alone(tmp_path: Path) -> None:
    sweep(tmp_path, RANKS, "steps=20")
    before = study(tmp_path).trials[1]
    line = [
        "adapter.rank=16",
        "steps=20",
        "study.name=s",
        "trial.number=1",
        f"hydra.run.dir={tmp_path}/again",
    ]

    subprocess.run([sys.executable, str(PROGRAM), *line], cwd=tmp_path, check=True, capture_output=True)

    after = study(tmp_path).trials[1]
    result = json.loads((tmp_path / "again/result.json").read_text())
    assert result["validation"][-1][1] == before.value
    assert (after.value, after.datetime_complete) == (before.value, before.datetime_complete)
