"""A sweep of train.py itself: two trials of a tiny model, with everything that a user finds afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from tests.training.runs import save_pictures

from loralab.study import attrs, load

ROOT = Path(__file__).parents[2]


def records(folder: Path) -> list[dict[str, Any]]:
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


@pytest.mark.slow
def test_every_trial_is_an_ordinary_run_and_a_run_of_one_group_on_wandb(
    tmp_path: Path, tiny_klein_folder: Path
) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    env |= {"NETRC": str(tmp_path / "netrc"), "WANDB_BASE_URL": "http://127.0.0.1:9"}
    command = [sys.executable, str(ROOT / "train.py"), "-m", "model=flux2_klein4b", "adapter.rank=2,4"]
    settings = [
        f"model.checkpoint={tiny_klein_folder}",
        "model.max_prompt_length=16",
        "model.recipe.resolution=64",
        "model.sampling={height: 64, width: 64, num_steps: 2, guidance_scale: 4.0}",
        f"dataset.root={save_pictures(tmp_path / 'pictures')}",
        *["dataset.validation_fraction=0.4", "trainer=smoke", "memory.checkpointing=none", "logger=wandb"],
        *["evaluation.style=null", "evaluation.previews.num_prompts=1", "run.validate_every=2"],
        *["steps=4", "study.name=s", "safety=off"],
    ]

    done = subprocess.run(
        [*command, *settings], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
    )

    study = load("s", root=tmp_path / "outputs/studies")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(trial.state, trial.params) for trial in study.trials] == [
        (TrialState.COMPLETE, {"adapter.rank": rank}) for rank in (2, 4)
    ]
    for trial in study.trials:
        folder = Path(trial.user_attrs[attrs.FOLDER])
        told = records(folder)
        (run,) = (record["run"] for record in told if record["type"] == "run")
        assert (run["run_group"], run["job_type"], run["display_name"]) == (
            "s",
            "trial",
            f"trial-{folder.name}",
        )
        assert {"sweep", "flux2_klein4b", "tpe"} == set(run["tags"])
        assert f'"adapter.rank": {trial.params["adapter.rank"]}' in json.dumps(told)
        losses = [
            value
            for record in told
            if record["type"] == "history"
            for key, value in record["history"]["item"].items()
            if key == "validation/loss"
        ]
        assert losses[-1] == pytest.approx(trial.value)
        assert {path.parent.name for path in folder.rglob("media/images/**/*.png")} >= {"preview", "train"}
        assert (folder / "adapter.safetensors").is_file()
        assert set(trial.user_attrs[attrs.BANDS]) == {"0.10", "0.30", "0.50", "0.70", "0.90"}
    results = [Path(trial.user_attrs[attrs.FOLDER]) / "result.json" for trial in study.trials]
    encoded = [json.loads(result.read_text())["dataset"]["latents_encoded"] for result in results]
    assert encoded[0] > 0
    assert encoded[1] == 0  # the first trial has filled the cache of all
