import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training.runs import finished, logged, save_pictures, tiny_config

from loralab.adapter import read_metadata
from loralab.errors import UserError

SHORT = ("steps=4", "batch_size=2", "run.save_every=1", "run.keep_snapshots=2", "run.validate_every=2")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("pictures with space"))


def test_a_run_leaves_an_adapter_that_says_what_it_is_and_all_that_a_report_needs(
    tiny_klein_folder: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    config = tiny_config(
        tiny_klein_folder,
        pictures,
        *SHORT,
        "dataset.validation_fraction=0.3",
        "dataset.trigger=sks",
        cache=cache,
    )

    result = finished(config, tmp_path / "run")

    metadata = read_metadata(tmp_path / "run" / "adapter.safetensors")
    assert result["status"] == "finished"
    assert result["steps"] == 4
    assert [step for step, _ in result["validation"]] == [0, 2, 4]
    assert (metadata.family, metadata.model, metadata.step, metadata.trigger) == (
        "flux2_klein",
        "flux2_klein4b",
        4,
        "sks",
    )
    assert metadata.rank == 16
    assert set(logged(tmp_path / "run", "train/loss")) == {1, 2, 3, 4}
    assert set(logged(tmp_path / "run", "validation/loss_sigma_0.50")) == {0, 2, 4}
    kept = sorted(path.name for path in (tmp_path / "run" / "snapshots").iterdir())
    assert kept == ["step_000003.safetensors", "step_000004.safetensors"]
    for name in ("config.yaml", "overrides.yaml", "report.html", "sigma_density.png", "checkpoint.ckpt"):
        assert (tmp_path / "run" / name).stat().st_size > 0
    norms = [json.loads(line) for line in (tmp_path / "run" / "update_norms.jsonl").read_text().splitlines()]
    assert [row["step"] for row in norms] == [1, 2, 3, 4]
    assert len(norms[0]) == 1 + result["adapted_modules"]


def test_the_same_command_gives_the_same_bytes_and_encodes_nothing_again(
    tiny_klein_folder: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    config = tiny_config(tiny_klein_folder, pictures, *SHORT, cache=cache)
    finished(config, tmp_path / "first")

    again = finished(config, tmp_path / "again")

    assert again["dataset"]["prompts_encoded"] == again["dataset"]["latents_encoded"] == 0
    first, second = (tmp_path / name / "adapter.safetensors" for name in ("first", "again"))
    assert first.read_bytes() == second.read_bytes()


def test_an_infinite_loss_stops_the_run_and_keeps_the_last_good_snapshot(
    tiny_klein_folder: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    config = tiny_config(
        tiny_klein_folder, pictures, *SHORT, "steps=20", "optimizer.lr=1e12", "safety=off", cache=cache
    )

    with pytest.raises(UserError, match=r"the last good snapshot is .*Lower optimizer.lr=1000000000000"):
        finished(config, tmp_path / "run")

    snapshots = sorted((tmp_path / "run" / "snapshots").iterdir())
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "diverged"
    assert snapshots
    for snapshot in snapshots:
        assert all(torch.isfinite(tensor).all() for tensor in load_file(snapshot).values())
    assert not (tmp_path / "run" / "adapter.safetensors").exists()


@pytest.mark.slow
def test_z_image_trains_through_the_same_door_and_turbo_by_flow_matching_with_a_warning(
    tiny_zimage_folder: Path, pictures: Path, cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_config(
        tiny_zimage_folder,
        pictures,
        *SHORT,
        "model=zimage_turbo",
        "objective=flow_matching",
        "allow_dedistill=true",
        "model.sampling.guidance_scale=0.0",
        cache=cache,
    )

    result = finished(config, tmp_path / "run")

    metadata = read_metadata(tmp_path / "run" / "adapter.safetensors")
    assert result["status"] == "finished"
    assert (metadata.family, metadata.model, metadata.rank) == ("z_image", "zimage_turbo", 64)
    assert "undoes the distillation of model=zimage_turbo" in caplog.text
