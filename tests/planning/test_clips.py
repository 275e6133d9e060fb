"""The planner on clips: largest bucket, its reference and sound, and layers of the modalities that are there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from loralab.config import CONF, model_arguments
from loralab.denoiser import SampleSize
from loralab.planning import planned
from loralab.planning.subject import sample_of, subject_of

WITH_SOUNDING_PREVIEWS = ("objective.mode=t2v", "evaluation=video_preview", "evaluation.previews.mode=t2av")


def composed(checkpoint: Path, *overrides: str) -> DictConfig:
    base = ["model=ltx23", f"model.checkpoint={checkpoint}", "dataset.root=x", "adapter.rank=4"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [*base, *overrides])


@pytest.mark.parametrize(
    ("overrides", "size"),
    [
        ((), SampleSize(height=448, width=768, frames=89, fps=24.0)),
        (
            ("dataset.buckets='64x64x9;128x64x9'", "dataset.fps=resample:30", "objective.mode=t2av"),
            SampleSize(height=64, width=128, frames=9, fps=30.0, has_audio=True),
        ),
        (
            ("experiment=ltx23_motion_track",),
            SampleSize(height=448, width=768, frames=89, fps=24.0, reference=(2, 1)),
        ),
    ],
)
def test_the_largest_bucket_is_planned_for(
    overrides: tuple[str, ...], size: SampleSize, tiny_ltx_folder: Path
) -> None:
    assert sample_of(composed(tiny_ltx_folder, *overrides)) == size


def test_a_plan_counts_the_layers_that_are_trained_and_every_token(tiny_ltx_folder: Path) -> None:
    config = composed(tiny_ltx_folder, "objective.mode=t2v")
    model = instantiate(model_arguments(config))

    subject = subject_of(config, model).subject
    lines = planned(config, instantiate(config.memory), model, card=None, budget_gib=None)

    layers = subject_of(config, model).layers
    assert not any("audio" in layer.name for layer in layers)  # which nothing needs
    heard = subject_of(composed(tiny_ltx_folder, *WITH_SOUNDING_PREVIEWS), model).layers
    assert any("audio" in layer.name for layer in heard)
    adapted = [layer.name for layer in layers if layer.adapted]
    assert len(adapted) == 10 and not any("audio" in name for name in adapted)
    assert subject.tokens.picture == 4032 and subject.tokens.of("all") == 4032
    assert lines[0] == "model         ltx23: 1 x 448x768, 89 frames (4032 + 1024 tokens), 2000 steps"
