"""The few-step grid and its rollout: the numbers of Z-Image Turbo, Euler's method, and diffusers' own pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from loralab.flow import clean_estimate, euler, few_step_sigmas, rollout, seeded_noise


def curved(noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return torch.tanh(noisy) * (1 + sigma.view(-1, 1, 1, 1)) - 0.3


def pipeline_sigmas(num_inference_steps: int) -> torch.Tensor:
    """The sigmas that ZImagePipeline steps through with Turbo's scheduler."""
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.pipelines.z_image.pipeline_z_image import get_default_z_image_sigmas, retrieve_timesteps

    scheduler = FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000, shift=3.0, use_dynamic_shifting=False
    )
    sigmas = get_default_z_image_sigmas(num_inference_steps)
    retrieve_timesteps(scheduler, num_inference_steps, "cpu", sigmas=sigmas)
    return scheduler.sigmas


def test_eight_steps_at_shift_three_are_those_of_z_image_turbo():
    sigmas = few_step_sigmas(8, shift=3.0)

    expected = torch.tensor([1, 0.9545, 0.9, 0.8333, 0.75, 0.6429, 0.5, 0.3, 0])
    torch.testing.assert_close(sigmas, expected, atol=5e-5, rtol=0)


def test_no_shift_makes_equal_strides_and_none_is_refused():
    sigmas = few_step_sigmas(4, shift=1.0)

    assert sigmas.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    with pytest.raises(ValueError, match="num_steps=0"):
        few_step_sigmas(0, shift=3.0)


def test_rollout_ends_where_euler_ends_and_believes_the_end_at_last():
    noise = seeded_noise((3, 2, 4, 4), seed=0, stream="few_step", index=0)
    sigmas = few_step_sigmas(8, shift=3.0)

    drawn = rollout(curved, noise, sigmas=sigmas)

    assert drawn.states.shape == (9, 3, 2, 4, 4)
    assert drawn.predictions.shape == (8, 3, 2, 4, 4)
    assert torch.equal(drawn.states[0], noise)
    torch.testing.assert_close(drawn.states[-1], euler(curved, noise, sigmas))
    torch.testing.assert_close(drawn.predictions[-1], drawn.states[-1])


def test_predictions_are_what_the_velocity_of_their_state_points_to():
    noise, sigmas = torch.randn(2, 3, 4, 4), few_step_sigmas(4, shift=3.0)

    drawn = rollout(curved, noise, sigmas=sigmas)

    for state, sigma, prediction in zip(drawn.states[:-1], sigmas[:-1], drawn.predictions, strict=True):
        level = sigma.expand(2)
        torch.testing.assert_close(prediction, clean_estimate(state, curved(state, level), level))


def test_rollout_keeps_no_graph_and_answers_in_fp32_whatever_the_network_speaks():
    weight = torch.ones((), requires_grad=True)

    drawn = rollout(
        lambda noisy, sigma: (weight * noisy).bfloat16(),
        torch.randn(1, 1, 2, 2),
        sigmas=few_step_sigmas(2, shift=1.0),
    )

    assert not drawn.states.requires_grad
    assert drawn.states.dtype == drawn.predictions.dtype == torch.float32


def test_the_grid_is_the_pipelines_for_eight_steps_and_another_than_for_nine():
    grid = few_step_sigmas(8, shift=3.0)

    torch.testing.assert_close(grid, pipeline_sigmas(8), atol=1e-6, rtol=0)
    nine = pipeline_sigmas(9)
    assert len(nine) == 10  # older diffusers took 8 steps when asked for 9
    assert (nine[:9] - grid).abs().max() > 0.02


def test_rollout_draws_the_latents_that_the_pipeline_draws(tiny_zimage_folder: Path):
    from diffusers import ZImagePipeline

    pipeline = ZImagePipeline.from_pretrained(tiny_zimage_folder)
    pipeline.set_progress_bar_config(disable=True)
    noise = seeded_noise((2, 16, 8, 12), seed=2, stream="few_step", index=0)
    prompts = ("a photo of a cat", "a robot is dancing, painted in oil")
    with torch.no_grad():
        embeds, _ = pipeline.encode_prompt(list(prompts), do_classifier_free_guidance=False)

    def velocity(noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        pictures = list(noisy[:, :, None].unbind())
        return -torch.stack(pipeline.transformer(pictures, 1 - sigma, embeds)[0]).squeeze(2)

    ours = rollout(velocity, noise, sigmas=few_step_sigmas(8, shift=3.0)).states[-1]
    theirs = pipeline(
        prompt=list(prompts), height=64, width=96, num_inference_steps=8, guidance_scale=0.0, latents=noise,
        output_type="latent",
    ).images  # fmt: skip

    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
