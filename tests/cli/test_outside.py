from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from loralab.cli.outside import check_before_hydra, is_known, known_targets, require_known_targets
from loralab.config import CONF, resumed
from loralab.errors import UserError


def experiment(folder: Path, text: str) -> list[str]:
    """Writes an experiment file as somebody else would send it; gives the command that uses it."""
    (folder / "experiment").mkdir()
    (folder / "experiment/sent.yaml").write_text(f"# @package _global_\n{text}")
    return ["--config-dir", str(folder), "experiment=sent"]


def test_every_target_of_the_projects_own_files_is_known() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", ["optimizer=muon", "evaluation=full", "logger=wandb"])

    require_known_targets(config, typed=[])
    assert "torch.optim.Muon" in known_targets()


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "loralab.files.os.system",
        "torch.optim.adamw.torch.hub.load",
        "torch.optim.AdamW.__init__",
        "builtins.exec",
    ],
)
def test_no_target_reaches_beyond_what_it_names(target: str) -> None:
    assert not is_known(target)
    assert is_known("torch.optim.SGD")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer:\n  _target_: os.system\n", r"optimizer\._target_=os\.system"),
        ("dataset:\n  source: {_target_: loralab.data.hub.io.open}\n", r"dataset\.source\._target_"),
        (
            "hydra:\n  callbacks:\n    x: {_target_: os.system, command: id}\n",
            r"hydra\.callbacks\.x\._target_",
        ),
        (
            "hydra:\n  job_logging:\n    handlers: {x: {(): os.system, command: id}}\n",
            r"changes hydra\.job_logging",
        ),
        ("hydra:\n  job: {env_set: {PYTHONPATH: /tmp}}\n", r"changes hydra\.job\.env_set"),
        ("name: ${oc.env:HOME}\n", "reads environment variables"),
    ],
)
def test_an_experiment_file_from_outside_names_no_code(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_before_hydra(experiment(tmp_path, text))


def test_a_sweep_over_experiment_files_checks_each(tmp_path: Path) -> None:
    experiment(tmp_path, "optimizer:\n  _target_: os.system\n")
    (tmp_path / "experiment/good.yaml").write_text("# @package _global_\nsteps: 3\n")

    with pytest.raises(UserError, match=r"os\.system"):
        check_before_hydra([f"--config-dir={tmp_path}", "-m", "experiment=good,sent"])


def test_an_experiment_file_of_values_and_choices_is_taken(tmp_path: Path) -> None:
    text = "defaults: [{override /optimizer: muon}, _self_]\nsteps: 3\nhydra: {run: {dir: outputs/x}}\n"

    check_before_hydra(experiment(tmp_path, text))


def test_a_target_that_was_typed_is_taken_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    command = [*experiment(tmp_path, "steps: 3\n"), "optimizer._target_=mine.Optimizer"]

    with caplog.at_level(logging.WARNING):
        check_before_hydra(command)

    assert "optimizer._target_=mine.Optimizer is no part of loralab" in caplog.text


@pytest.mark.parametrize(
    "saved",
    ["optimizer._target_=os.system", "hydra.callbacks.x={}", "--config-dir=/tmp", "+a={_target_: os.system}"],
)
def test_a_run_that_was_sent_is_not_resumed_into_code(tmp_path: Path, saved: str) -> None:
    (tmp_path / "overrides.yaml").write_text(f"- steps=3\n- '{saved}'\n")

    with pytest.raises(UserError, match="which a saved run may not"):
        resumed([f"run.resume={tmp_path}"])
