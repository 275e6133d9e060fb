"""Ablations from the command line, over a program whose loss is a formula, and what is refused before any run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import setup_globals
from omegaconf import open_dict
from optuna.trial import TrialState
from tests.study.ablation.definitions import plain
from tests.sweeper.sweeps import PROGRAM, wait_for

from loralab.config import CONF, check
from loralab.errors import UserError
from loralab.report.ablation import AblationRecord, recorded_ablation
from loralab.study import StudySettings, load
from loralab.sweeper.ablation import asked_ablation
from loralab.sweeper.asked import Asked

DEFINED = {"overrides": ["steps=40", "safety=off"]}
RATE = {"baseline": "x1", "levels": {"x1": ["optimizer.lr=3e-3"], "x4": ["optimizer.lr=1.2e-2"]}}
FEW = {**DEFINED, "factors": {"rate": RATE}, "seeds": [0, 1]}
"""Two cells under two seeds: a process each."""
TIMEOUT_S = 600


def asked(folder: Path, *typed: str, **changed: Any) -> tuple[StudySettings, Asked]:
    """Reads a definition as `train.py -m ablation=mine <typed>` does."""
    (folder / "ablation").mkdir(exist_ok=True)
    (folder / "ablation" / "mine.yaml").write_text(yaml.safe_dump(plain(**{**DEFINED, **changed})))
    arguments = ["ablation=mine", *typed]
    setup_globals()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        searched = [*filter(is_own, arguments), f"hydra.searchpath=[file://{folder}]"]
        config = compose("train", searched, return_hydra_config=True)
        with open_dict(config):
            config.hydra.overrides.hydra = []
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        return asked_ablation(arguments, config=config, loader=hydra.config_loader)


def is_own(argument: str) -> bool:
    return argument.startswith("ablation")


def ran(folder: Path, *typed: str, **wish: object) -> subprocess.CompletedProcess[str]:
    """Runs the definition in a folder to its end."""
    return subprocess.run(command(folder, *typed), cwd=folder, env=environment(wish), capture_output=True, text=True,
                          timeout=TIMEOUT_S, check=False)  # fmt: skip


def command(folder: Path, *typed: str, **changed: Any) -> list[str]:
    file = folder / "ablation" / "mine.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(plain(**{**FEW, **changed})))
    start = [sys.executable, str(PROGRAM), "--config-dir", str(folder), "-m", "ablation=mine"]
    return [*start, "study.num_workers=2", *typed]


def environment(wish: dict[str, object]) -> dict[str, str]:
    return {**os.environ, "PROGRAM": json.dumps(wish)}


def record_of(folder: Path) -> AblationRecord:
    return recorded_ablation(folder / "outputs" / "ablations" / "mine")


def test_an_ablation_is_a_study_of_every_cell_under_every_seed_of_which_none_is_pruned(
    tmp_path: Path,
) -> None:
    settings, found = asked(tmp_path, "batch_size=32")

    assert (settings.folder, settings.prunes) == (Path("outputs/ablations/mine"), False)
    assert settings.targets == {"style.distance": "minimize", "validation_loss": "minimize"}
    assert [found.sets(point) for point in found.plan.points[3:5]] == [
        ["adapter.rank=16", "optimizer.lr=1.2e-2", "seed=0"],
        ["adapter.rank=16", "optimizer.lr=3e-3", "seed=1"],
    ]
    assert len(found.plan.points) == 12 and not found.plan.searches
    assert found.shared == ["steps=40", "safety=off", "batch_size=32"]


@pytest.mark.parametrize(
    ("typed", "changed", "told"),
    [
        ((), {"overrides": ["stepz=40"]}, "(?s)baseline .*stepz"),
        (
            (),
            {"overrides": ["steps=0", "safety=off"]},
            r"(?s)rate=x4 \(adapter.*steps=0 must be a whole number",
        ),
        (("adapter.rank=8",), {}, r"adapter\.rank is set by factor rank, and for all runs as well"),
        (("adapter.alpha=8,16",), {}, "adapter.alpha=8,16 asks for a search"),
        (("ablation.seeds=[0,1,2,3]",), {"budget": {"max_runs": 12}}, "4 cells and 16 runs, above"),
        (
            (),
            {"metrics": {"fewstep.frechet": "minimize"}},
            "fewstep.frechet is not measured; add evaluation=fewstep",
        ),
    ],
)
def test_what_cannot_run_is_refused_before_the_first_run_with_its_cell(
    tmp_path: Path, typed: tuple[str, ...], changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        asked(tmp_path, *typed, **changed)


def test_a_single_run_refuses_an_ablation_which_it_would_not_heed() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", ["ablation=nano_klein"])

    with pytest.raises(UserError, match="add -m, as in python"):
        check(config)


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted((CONF / "ablation").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_cell_of_every_shipped_ablation_can_run(file: Path) -> None:
    arguments = [f"ablation={file.stem}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", arguments, return_hydra_config=True)
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        _, found = asked_ablation(arguments, config=config, loader=hydra.config_loader)

    assert found.plan.points


@pytest.mark.slow
def test_a_cell_that_fails_is_shown_and_stops_no_other_and_more_seeds_run_only_what_is_new(
    tmp_path: Path,
) -> None:
    first = ran(tmp_path, fail_above=1e-2)
    again = ran(tmp_path, "ablation.seeds=[0,1,2]")

    statuses = {(run.cell, run.seed): run.status for run in record_of(tmp_path).runs}
    study = load("mine", root=tmp_path / "outputs" / "ablations")
    assert (first.returncode, again.returncode) == (0, 0), first.stdout + again.stdout
    assert "0 of 2 (2 failed)" in first.stdout and "a mistake of the program's own" in first.stdout
    assert statuses == {
        ("baseline", 0): "finished", ("baseline", 1): "finished", ("baseline", 2): "finished",
        ("rate=x4", 0): "failed", ("rate=x4", 1): "failed", ("rate=x4", 2): "finished",
    }  # fmt: skip
    assert sum(trial.state == TrialState.COMPLETE for trial in study.trials) == 4
    assert "2 cells (one_at_a_time), seeds 0, 1, 2" in again.stdout and "2 runs left of 6" in again.stdout
    assert (tmp_path / "outputs/ablations/mine/tables/style_distance.tex").is_file()


@pytest.mark.slow
def test_an_ablation_that_was_killed_goes_on_and_no_finished_run_is_repeated(tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "ablations" / "mine" / "trials"
    process = subprocess.Popen(command(tmp_path), cwd=tmp_path, env=environment({"seconds_per_step": 0.02}))
    wait_for(lambda: (folder / "0001" / "result.json").is_file(), seconds=TIMEOUT_S)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()

    done = ran(tmp_path)

    record, starts = (
        record_of(tmp_path),
        [len(each.read_text().splitlines()) for each in folder.glob("*/starts")],
    )
    assert done.returncode == 0, done.stdout
    assert record.is_complete and {run.status for run in record.runs} == {"finished"}
    assert len(record.runs) == 4 and sum(starts) <= 4 + 2


@pytest.mark.slow
def test_at_the_end_of_its_hours_no_further_run_begins_and_the_rest_is_shown_as_not_run(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        command(tmp_path, budget={"max_hours": 1e-6}), cwd=tmp_path, env=environment({}), capture_output=True,
        text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip

    statuses = [run.status for run in record_of(tmp_path).runs]
    assert done.returncode == 0, done.stdout
    assert len(statuses) == 4
    assert 0 < statuses.count("finished") < 4
    assert statuses.count("not run") == 4 - statuses.count("finished")
