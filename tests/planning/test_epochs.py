"""`run.save_every=auto` and `steps=auto`: numbers that follow from the pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from tests.data.pictures import draw_set
from tests.training.runs import tiny_config

from loralab.cli.compose import composed_run
from loralab.config import check
from loralab.planning import settle, settle_without_pictures
from loralab.planning.epochs import Epochs, settled_by


@pytest.mark.parametrize(
    ("showings", "batch_size", "save_every", "steps"),
    [(32, 1, 96, 576), (32, 4, 24, 144), (10, 4, 8, 48), (1, 16, 1, 6)],
)
def test_a_snapshot_follows_three_epochs_and_training_ends_at_six(
    showings: int, batch_size: int, save_every: int, steps: int
) -> None:
    epochs = Epochs(showings=showings, batch_size=batch_size)

    assert (epochs.save_every, epochs.steps(epochs.save_every)) == (save_every, steps)


@pytest.mark.parametrize(("safety", "steps"), [("strict", 1000), ("warn", 1800)])
def test_steps_end_where_the_safe_range_does_unless_safety_says_otherwise(safety: str, steps: int) -> None:
    config = composed_run(["experiment=flux2_klein9b_identity", "dataset.root=.", f"safety={safety}"])

    said = settled_by(config, showings=100)

    assert (config.run.save_every, config.steps, config.watch.every) == (300, steps, 300)
    assert ("cut from 1800, where the safe range ends" in said[1]) == (safety == "strict")
    check(config)


def test_a_typed_interval_is_kept_and_makes_the_end() -> None:
    config = composed_run(["experiment=flux2_klein9b_identity", "dataset.root=.", "run.save_every=50"])

    settled_by(config, showings=100)

    assert (config.run.save_every, config.steps) == (50, 300)


def test_repeats_resolutions_and_validation_are_counted_from_the_pictures(
    tiny_klein_folder: Path, tmp_path: Path
) -> None:
    pictures = draw_set(tmp_path / "pictures", count=4, width=128, height=128)
    config = tiny_config(
        tiny_klein_folder,
        pictures,
        "steps=auto",
        "run.save_every=auto",
        "batch_size=2",
        "safety=off",
        "dataset.repeats={p0.png: 3}",
        "dataset.resolutions=[64, 128]",
        cache=tmp_path / "cache",
    )

    settle(config)

    assert (config.run.save_every, config.steps) == (
        18,
        108,
    )  # (3 + 1 + 1 + 1) pictures in 2 sizes, 3 times, by 2


def test_where_no_pictures_are_read_the_models_own_numbers_are_taken() -> None:
    config = composed_run(["experiment=flux2_klein4b_style", "dataset.root=."])

    said = settle_without_pictures(config, why="a plan reads no pictures")

    assert (config.steps, config.run.save_every) == (600, 100)
    assert said == ["steps=auto: 600 is assumed, since a plan reads no pictures"]
    assert settle_without_pictures(config, why="") == []
    assert OmegaConf.select(config, "model.recipe.num_steps") == 600
