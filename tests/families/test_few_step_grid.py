from __future__ import annotations

from pathlib import Path

import pytest
import torch

from loralab.denoiser import Sampling
from loralab.errors import UserError
from loralab.evaluation import Drawing
from loralab.families.shared.schedule import pipeline_sigmas
from loralab.families.z_image import ZImage
from loralab.flow import few_step_sigmas

SHAPE = (16, 8, 8)


@pytest.fixture
def turbo(tiny_zimage_folder: Path) -> ZImage:
    sampling = Sampling(num_steps=8, guidance_scale=0.0, height=64, width=64)
    return ZImage(
        name="turbo",
        checkpoint=str(tiny_zimage_folder),
        sampling=sampling,
        variant="distilled",
        max_prompt_length=16,
    )


@pytest.mark.parametrize("num_steps", [4, 8, 9, 12])
@pytest.mark.parametrize("shift", [1.0, 3.0, 6.0])
def test_our_grid_is_the_installed_schedulers(num_steps: int, shift: float) -> None:
    config = {"num_train_timesteps": 1000, "shift": shift, "use_dynamic_shifting": False}

    stepped = pipeline_sigmas(config, num_steps=num_steps, mu=0.0)

    torch.testing.assert_close(stepped, few_step_sigmas(num_steps, shift=shift), atol=1e-6, rtol=0)


def test_our_grid_is_what_the_installed_pipeline_steps_through(
    turbo: ZImage, tiny_zimage_folder: Path
) -> None:
    from diffusers import ZImagePipeline

    pipeline = ZImagePipeline.from_pretrained(tiny_zimage_folder)
    pipeline.set_progress_bar_config(disable=True)

    pipeline(
        prompt="a cat", height=64, width=64, num_inference_steps=8, guidance_scale=0.0, output_type="latent"
    )

    torch.testing.assert_close(pipeline.scheduler.sigmas, few_step_sigmas(8, shift=3.0), atol=1e-4, rtol=0)


def test_a_scheduler_that_steps_elsewhere_is_refused_with_both_grids() -> None:
    config = {"num_train_timesteps": 1000, "shift": 3.0, "use_karras_sigmas": True}

    with pytest.raises(
        UserError, match=r"steps through sigmas 1, .*scheduler means 1, 0\.9545, 0\.9, 0\.8333"
    ):
        pipeline_sigmas(config, num_steps=8, mu=0.0)


def test_nine_steps_that_mean_eight_are_refused_on_turbo_alone(
    turbo: ZImage, tiny_zimage_folder: Path
) -> None:
    base = ZImage(name="base", checkpoint=str(tiny_zimage_folder), sampling=turbo.sampling)

    with pytest.raises(UserError, match=r"num_steps=9: turbo would make 9 calls .*set num_steps=8"):
        Drawing(num_steps=9).require_drawable(turbo)
    with pytest.raises(UserError, match="num_steps=9"):
        Drawing(num_steps=9).encode(turbo, ["a cat"])
    assert len(base.sampling_sigmas(num_steps=9, latents_shape=SHAPE)) == 10
    assert len(turbo.sampling_sigmas(num_steps=10, latents_shape=SHAPE)) == 11


def test_guidance_is_refused_on_turbo_before_anything_is_loaded(turbo: ZImage) -> None:
    with pytest.raises(UserError, match=r"guidance_scale=1\.0: turbo is distilled"):
        Drawing(guidance_scale=1.0).require_drawable(turbo)
    Drawing(guidance_scale=0.0).require_drawable(turbo)
