"""Every conf/model/*.yaml names a checkpoint that its class accepts, with a recipe and sigmas beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from loralab.config import RECIPE_KEYS
from loralab.data.video.sizes import parse_buckets
from loralab.denoiser import ClipDenoiser, Denoiser
from loralab.flow import SigmaSampler, seeded_uniform

FOLDER = Path(__file__).parents[2] / "conf" / "model"
FILES = sorted(FOLDER.glob("*.yaml"))


def parts_of(file: Path) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """Gives the constructor's part, the sigmas and the recipe."""
    content = OmegaConf.load(file)
    return (
        {k: v for k, v in content.items() if k not in ("defaults", *RECIPE_KEYS)},
        content.sigmas,
        content.recipe,
    )


def test_the_models_of_the_readme_are_there() -> None:
    klein = "flux2_klein4b flux2_klein9b flux2_klein4b_distilled flux2_klein9b_distilled"
    names = f"{klein} zimage_base zimage_turbo nano_klein"

    assert {file.stem for file in FILES} >= set(names.split())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_model_binds_to_its_constructor(file: Path) -> None:
    model, _, recipe = parts_of(file)

    denoiser = instantiate(model)

    assert denoiser.name == file.stem
    if isinstance(denoiser, ClipDenoiser):
        sampling = denoiser.sampling
        assert (sampling.video.scale > 1) == (sampling.sigmas is None) == (denoiser.variant == "base")
        assert sampling.sigmas is None or len(sampling.sigmas) == sampling.num_steps + 1
        parse_buckets(recipe.buckets, key="buckets", multiple=64)
    else:
        assert isinstance(denoiser, Denoiser)
        assert denoiser.guides(denoiser.sampling.guidance_scale) == (denoiser.variant == "base")
    assert set(recipe) >= {"source", "rank", "lr", "num_steps", "batch_size", "resolution"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_model_names_sigmas_that_can_be_drawn(file: Path) -> None:
    _, sigmas, _ = parts_of(file)

    sampler = instantiate(sigmas)
    drawn = sampler.quantile(seeded_uniform(1000, seed=0, stream="sigma", index=0), num_tokens=4096)

    assert isinstance(sampler, SigmaSampler)
    assert 0.5 <= drawn.mean() < 0.8


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_model_file_opens_with_a_sentence_and_a_command(file: Path) -> None:
    first, second, *_ = file.read_text().splitlines()

    assert first.startswith("# ")
    assert first.endswith(".")
    assert second.startswith("#   python train.py")
    assert file.stem == "nano_klein" or f"model={file.stem}" in second
