from __future__ import annotations

import csv
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

import loralab
from loralab.errors import UserError
from loralab.loggers import JsonlLogger, WandbSettings, build_loggers, close_loggers, log_picture, log_video
from loralab.loggers.jsonl import read_metrics
from loralab.loggers.redact import HIDDEN, redacted

CONF = Path(loralab.__file__).parents[2] / "conf"
METRICS = {"train/loss": 0.5, "validation/loss_sigma_0.10": 0.25}


@pytest.fixture(autouse=True)
def nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")


def picture(folder: Path) -> Path:
    path = folder / "picture.png"
    Image.new("RGB", (8, 6), "red").save(path)
    return path


def wandb_records(folder: Path) -> list[dict[str, Any]]:
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_all_loggers_get_the_same_names_and_values(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = build_loggers(
        folder=tmp_path, config={"seed": 0}, csv=True, tensorboard=True, wandb=WandbSettings()
    )
    for logger in loggers:
        logger.log_metrics(METRICS, step=3)
    log_picture(loggers, name="preview/grid", path=picture(tmp_path), step=3)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"as it is")
    log_video(loggers, name="preview/adapter/00", path=clip, caption="a fox", step=3)

    commands = close_loggers(loggers)

    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 3, **METRICS}]
    (table,) = tmp_path.glob("csv/version_0/metrics.csv")
    (row,) = csv.DictReader(table.read_text().splitlines())
    assert {name: float(row[name]) for name in METRICS} == METRICS
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert {name: events.Scalars(name)[0].value for name in METRICS} == METRICS
    assert events.Scalars("train/loss")[0].step == 3
    assert events.Images("preview/grid")[0].width == 8
    told = json.dumps(wandb_records(tmp_path))
    assert all(name in told for name in METRICS)
    assert list(tmp_path.glob("wandb/offline-run-*/files/media/images/preview/*.png"))
    (sent,) = tmp_path.glob("wandb/offline-run-*/files/media/videos/preview/adapter/*.mp4")
    assert sent.read_bytes() == b"as it is"
    assert commands == [f"wandb sync '{next(tmp_path.glob('wandb/offline-run-*'))}'"]


def test_metrics_are_readable_after_every_line_and_nan_is_null(tmp_path: Path) -> None:
    logger = JsonlLogger(tmp_path / "metrics.jsonl")

    logger.log_metrics({"train/loss": float("nan")}, step=1)

    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1, "train/loss": None}]


def test_a_resumed_run_replaces_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    crashed = JsonlLogger(path)
    for step in (10, 20, 30):
        crashed.log_metrics({"train/loss": step}, step=step)
        crashed.log_metrics({"validation/loss": step}, step=step)
    with path.open("a") as file:
        file.write('{"step": 40, "train/lo')

    resumed = JsonlLogger(path)
    resumed.log_metrics({"train/loss": -20}, step=20)
    resumed.log_metrics({"train/loss": -30}, step=30)

    assert read_metrics(path) == [
        {"step": 10, "train/loss": 10},
        {"step": 10, "validation/loss": 10},
        {"step": 20, "validation/loss": 20},
        {"step": 20, "train/loss": -20},
        {"step": 30, "train/loss": -30},
    ]


def test_each_choice_composes_alone_and_with_others(tmp_path: Path) -> None:
    names = sorted(path.stem for path in (CONF / "logger").glob("*.yaml"))
    assert names == ["csv", "none", "tensorboard", "wandb"]

    for choice, count in [*[(name, 1 + (name != "none")) for name in names], ("[csv,tensorboard]", 3)]:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose(overrides=[f"+logger={choice}"])
        loggers = instantiate(config.logger)(folder=tmp_path / choice, config={})
        close_loggers(loggers)

        assert len(loggers) == count


def test_a_resumed_run_keeps_its_wandb_id(tmp_path: Path) -> None:
    first = WandbSettings().build(tmp_path)
    first_id = first.experiment.id
    close_loggers([first])
    second = WandbSettings().build(tmp_path)

    assert second.experiment.id == first_id
    close_loggers([second])


def test_an_unreachable_server_means_offline_and_not_the_end_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)

    with caplog.at_level(logging.WARNING):
        logger = WandbSettings(timeout_s=1).build(tmp_path)
    close_loggers([logger])

    assert "logging offline" in caplog.text
    assert list(tmp_path.glob("wandb/offline-run-*"))


def test_going_online_without_a_login_is_refused_without_a_prompt(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"logger\.wandb\.mode=online.*wandb login"):
        WandbSettings(mode="online").build(tmp_path)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UserError, match=r"mode=sometimes"):
        WandbSettings(mode="sometimes")


def test_secrets_do_not_reach_loggers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    config = {
        "hub": {"token": "abc", "root": "https://me:word@host/data"},
        "note": "made with hf_abcdefgh",
        "trigger": "sks",
        "base_tokens": 256,
        "sigmas": [0.1, 0.9],
    }

    shown = redacted(config)

    assert shown["hub"] == {"token": HIDDEN, "root": f"https://{HIDDEN}@host/data"}
    assert shown["note"] == HIDDEN
    assert {key: shown[key] for key in ("trigger", "base_tokens", "sigmas")} == {
        key: config[key] for key in ("trigger", "base_tokens", "sigmas")
    }
