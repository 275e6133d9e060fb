"""Whole runs of a tiny Klein under the sentinel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tests.training.runs import finished, save_pictures, tiny_config

SHORT = (
    "steps=6", "batch_size=1", "micro_batch_size=1", "run.save_every=2", "run.validate_every=2", "ema_decay=0.5",
    "dataset.validation_fraction=0.3", "sentinel.num_prompts=1", "sentinel.num_steps=2",
)  # fmt: skip
NEVER = tuple(
    f"sentinel.limits.{rule}=inf"
    for rule in (
        "error",
        "gradient",
        "spectral",
        "growth",
        "validation",
        "sigma",
        "drift",
        "detail",
        "spread",
        "colour",
    )
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("pictures"))


def read(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "sentinel.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_warning_changes_nothing_and_every_step_is_read(
    tiny_klein_folder: Path, pictures: Path, cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = {
        action: tiny_config(
            tiny_klein_folder, pictures, *SHORT, *limits, f"sentinel.action={action}", cache=cache
        )
        for action, limits in {"none": (), "warn": (*NEVER, "sentinel.limits.spectral=1e-9")}.items()
    }

    found = {action: finished(config, tmp_path / action) for action, config in made.items()}

    plain, warned = (load_file(tmp_path / action / "adapter.safetensors") for action in made)
    assert all(torch.equal(plain[key], warned[key]) for key in plain)
    assert "sentinel" not in found["none"]
    assert found["warn"]["status"] == "finished"
    assert [alarm["rule"] for alarm in found["warn"]["sentinel"]["alarms"]] == ["spectral"]
    assert "sentinel at step 2: the update is larger" in caplog.text
    lines = read(tmp_path / "warn")
    assert [line["step"] for line in lines if "error" in line] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if "drift" in line] == [2, 4, 6]
    assert [line["step"] for line in lines if "detail" in line] == [2, 4, 6]


@pytest.mark.slow
def test_a_rollback_leaves_the_last_good_snapshot_and_says_so_everywhere(
    tiny_klein_folder: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    calm = tiny_config(tiny_klein_folder, pictures, *SHORT, *NEVER, "sentinel.action=warn", cache=cache)
    finished(calm, tmp_path / "calm")
    spectral = [line["spectral"] for line in read(tmp_path / "calm") if "spectral" in line]
    limit = f"sentinel.limits.spectral={spectral[3]}"  # exceeded at steps 5 and 6; step 2 is well below it
    config = tiny_config(
        tiny_klein_folder, pictures, *SHORT, *NEVER, limit, "sentinel.action=rollback", cache=cache
    )

    result = finished(config, tmp_path / "run")

    adapter, snapshot = (
        tmp_path / "run/adapter.safetensors",
        tmp_path / "run/snapshots/step_000002.safetensors",
    )
    ours, kept = load_file(adapter), load_file(snapshot)
    checkpoint = torch.load(tmp_path / "run/checkpoint.ckpt", weights_only=True)
    assert (result["status"], result["steps"]) == ("stopped", 2)
    assert result["sentinel"]["rolled_back_to"] == 2
    assert result["sentinel"]["stopped"] == 6
    assert all(torch.equal(ours[key], kept[key]) for key in kept)
    with safe_open(adapter, framework="pt") as file:
        assert (
            "stopped by the sentinel at step 6: the update is larger" in file.metadata()["loralab.sentinel"]
        )
    assert "the adapter is that of step 2" in result["reason"]
    assert "the adapter is that of step 2" in (tmp_path / "run/report.html").read_text()
    assert checkpoint["global_step"] == 2
    assert not (tmp_path / "run/checkpoint_good.ckpt").exists()


@pytest.mark.slow
def test_a_lower_rate_is_kept_by_the_schedule_and_over_a_checkpoint(
    tiny_klein_folder: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    config = tiny_config(
        tiny_klein_folder, pictures, *SHORT, *NEVER, "sentinel.limits.spectral=1e-9", "sentinel.action=lower_lr",
        "sentinel.most_lowerings=2", "optimizer.lr=1e-4", cache=cache,
    )  # fmt: skip

    result = finished(config, tmp_path / "run")

    rates = {}
    for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines():
        if (rate := json.loads(line).get("train/learning_rate")) is not None:
            rates[json.loads(line)["step"]] = rate
    checkpoint = torch.load(tmp_path / "run/checkpoint.ckpt", weights_only=True)
    assert len(result["sentinel"]["lowered"]) == 2
    assert rates[1] == pytest.approx(1e-4)
    assert rates[6] == pytest.approx(2.5e-5)
    assert checkpoint["lr_schedulers"][0]["base_lrs"] == [pytest.approx(2.5e-5)]


@pytest.mark.slow
def test_a_stop_before_any_snapshot_keeps_what_there_is(
    tiny_klein_folder: Path, pictures: Path, cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_config(
        tiny_klein_folder, pictures, *SHORT, *NEVER, "run.save_every=100", "sentinel.limits.spectral=1e-9",
        "sentinel.action=rollback", cache=cache,
    )  # fmt: skip

    result = finished(config, tmp_path / "run")

    assert (result["status"], result["sentinel"]["rolled_back_to"]) == ("stopped", None)
    assert "there is no good snapshot yet" in caplog.text
    assert (tmp_path / "run/adapter.safetensors").is_file()
