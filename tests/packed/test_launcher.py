"""A sweep under launcher=packed: what it leaves, and what is lost when the pack's process is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from optuna.trial import TrialState
from tests.training.runs import logged, save_pictures

from loralab.study import attrs, load
from loralab.study.outcome import LOST

ROOT = Path(__file__).parents[2]


def start(folder: Path, checkpoint: Path, *overrides: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "train.py"), "-m", "model=flux2_klein4b", "launcher=packed"]
    settings = [
        f"model.checkpoint={checkpoint}",
        "model.max_prompt_length=16",
        "model.recipe.resolution=64",
        "model.sampling={height: 64, width: 64, num_steps: 2, guidance_scale: 4.0}",
        f"dataset.root={save_pictures(folder / 'pictures')}",
        *["dataset.validation_fraction=0.4", "trainer=smoke", "logger=none", "evaluation=none"],
        *["micro_batch_size=2", "batch_size=2", "study.name=s", "safety=off", "study.pruner=none"],
    ]
    with (folder / "said").open("ab") as said:
        return subprocess.Popen([*command, *settings, *overrides], cwd=folder, stdout=said, stderr=said)


@pytest.mark.slow
def test_a_killed_pack_costs_its_trials_the_steps_since_their_checkpoints_and_the_study_nothing(
    tmp_path: Path, tiny_klein_folder: Path
) -> None:
    ranks = "adapter.rank=2,4,8"
    sweep = start(tmp_path, tiny_klein_folder, ranks, "launcher.pack=2", "steps=60", "run.save_every=5")
    trial = tmp_path / "outputs/studies/s/trials/0000"
    try:
        until(lambda: (trial / "checkpoint.ckpt").is_file())
        (pack,) = (child for child in psutil.Process(sweep.pid).children() if "packed" in child.cmdline())
        os.kill(pack.pid, signal.SIGKILL)
        assert sweep.wait(600) == 0, (tmp_path / "said").read_text()
    finally:
        sweep.kill()

    trials = load("s", root=tmp_path / "outputs/studies").trials
    lost = [trial.number for trial in trials if trial.user_attrs.get(attrs.ERROR) == LOST]
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert lost == [0, 1]
    assert sorted(trial.params["adapter.rank"] for trial in complete) == [2, 4, 8]
    for done in complete:
        folder = Path(done.user_attrs[attrs.FOLDER])
        assert json.loads((folder / "result.json").read_text())["packed"] == {"width": 2}
        assert set(logged(folder, "train/loss")) == {1, *range(10, 61, 10)}
    assert "resume" in (trial / "config.yaml").read_text()


@pytest.mark.slow
def test_a_trial_that_needs_a_process_of_its_own_gets_one_and_the_log_says_why(
    tmp_path: Path, tiny_klein_folder: Path
) -> None:
    sweep = start(tmp_path, tiny_klein_folder, "adapter=lora,dora", "launcher.pack=2", "steps=2")
    try:
        assert sweep.wait(600) == 0, (tmp_path / "said").read_text()
    finally:
        sweep.kill()

    trials = load("s", root=tmp_path / "outputs/studies").trials
    results = [json.loads((Path(t.user_attrs[attrs.FOLDER]) / "result.json").read_text()) for t in trials]
    assert ["packed" in result for result in results] == [True, False]
    assert "trial 1 runs by itself: adapter=dora" in (tmp_path / "said").read_text()


def until(condition: object, *, seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)
