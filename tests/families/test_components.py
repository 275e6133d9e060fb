"""Loading on demand: what is loaded when, where, in which precision, and what is freed."""

from __future__ import annotations

import gc
import re
import weakref
from pathlib import Path

import pytest
import torch

from loralab.denoiser import Denoiser, Sampling
from loralab.errors import UserError
from loralab.families.flux2_klein import Flux2Klein
from loralab.families.z_image import ZImage
from loralab.memory import Placement

SAMPLING = Sampling(num_steps=4, guidance_scale=0.0, height=64, width=64)


@pytest.fixture(params=["flux2_klein", "z_image"])
def denoiser(request: pytest.FixtureRequest, tiny_klein_folder: Path, tiny_zimage_folder: Path) -> Denoiser:
    if request.param == "flux2_klein":
        return Flux2Klein(name="tiny", checkpoint=str(tiny_klein_folder), sampling=SAMPLING)
    return ZImage(name="tiny", checkpoint=str(tiny_zimage_folder), sampling=SAMPLING)


def test_a_transformer_is_loaded_once_frozen_and_in_inference_mode(denoiser: Denoiser) -> None:
    network = denoiser.transformer

    assert denoiser.transformer is network
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_released_component_is_gone_and_comes_back_equal(denoiser: Denoiser) -> None:
    before = {name: value.clone() for name, value in denoiser.transformer.state_dict().items()}
    alive = weakref.ref(denoiser.transformer)

    denoiser.release("transformer")
    gc.collect()

    assert alive() is None
    assert all(torch.equal(before[name], value) for name, value in denoiser.transformer.state_dict().items())


def test_the_vae_computes_in_fp32_whatever_the_base_does(denoiser: Denoiser) -> None:
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1

    denoiser.place(Placement(torch.device("cpu"), torch.bfloat16))
    beside_bf16, embeds = denoiser.encode_pixels(pixels), denoiser.encode_prompts(["a cat"])
    denoiser.place(Placement(torch.device("cpu"), torch.float32))

    assert embeds[0].dtype == torch.bfloat16
    assert torch.equal(beside_bf16, denoiser.encode_pixels(pixels))


def test_a_batch_encodes_as_its_pictures_do_alone(denoiser: Denoiser) -> None:
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1

    together = denoiser.encode_pixels(pixels)

    assert torch.equal(together[1:], denoiser.encode_pixels(pixels[1:]))


def test_velocity_is_differentiable_in_the_adapter_over_a_bf16_base(denoiser: Denoiser) -> None:
    from peft import LoraConfig

    denoiser.place(Placement(torch.device("cpu"), torch.bfloat16))
    network = denoiser.transformer
    network.add_adapter(LoraConfig(r=2, target_modules=denoiser.target_pattern("attention")))  # type: ignore[operator]
    adapter = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in adapter:
        parameter.data = torch.randn(parameter.shape) * 0.1
    noisy = torch.randn(1, *denoiser.latents_shape(height=64, width=64))

    velocity = denoiser.velocity(
        noisy, sigma=torch.tensor([0.5]), prompt_embeds=denoiser.encode_prompts(["a cat"])
    )
    velocity.square().mean().backward()

    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in adapter)
    assert {parameter.dtype for parameter in adapter} == {torch.float32}


def test_sizes_are_multiples_that_the_vae_and_the_patches_need(denoiser: Denoiser) -> None:
    shape = denoiser.latents_shape(height=64, width=96)

    assert denoiser.size_multiple == 16
    assert denoiser.num_tokens(shape) == (64 // 16) * (96 // 16)


def test_sigmas_fall_from_one_to_zero_and_depend_on_nothing_drawn_before(denoiser: Denoiser) -> None:
    shape = denoiser.latents_shape(height=64, width=64)

    first = denoiser.sampling_sigmas(num_steps=8, latents_shape=shape)
    denoiser.sampling_sigmas(num_steps=3, latents_shape=shape)
    again = denoiser.sampling_sigmas(num_steps=8, latents_shape=shape)

    assert torch.equal(first, again)
    assert first[0] == 1
    assert first[-1] == 0
    assert (first.diff() < 0).all()


def test_no_steps_are_refused(denoiser: Denoiser) -> None:
    with pytest.raises(UserError, match="num_steps=0"):
        denoiser.sampling_sigmas(num_steps=0, latents_shape=denoiser.latents_shape(height=64, width=64))


def test_targets_may_be_an_expression_but_not_a_broken_one(denoiser: Denoiser) -> None:
    assert denoiser.target_pattern(r".*\.to_q") == r".*\.to_q"
    with pytest.raises(UserError, match=re.escape("adapter.targets='to_(q'")):
        denoiser.target_pattern("to_(q")
