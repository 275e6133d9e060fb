from __future__ import annotations

from pathlib import Path

import pytest
import torch

from loralab.denoiser import Sampling
from loralab.errors import UserError
from loralab.evaluation.sampler import draw
from loralab.families.flux2_klein import Flux2Klein
from loralab.families.z_image import ZImage
from loralab.memory import Placement


def test_pictures_equal_those_of_the_klein_pipeline(klein: Flux2Klein, tiny_klein_folder: Path) -> None:
    from diffusers import Flux2KleinPipeline

    pipeline = Flux2KleinPipeline.from_pretrained(tiny_klein_folder)
    pipeline.set_progress_bar_config(disable=True)
    embeds, negative = klein.encode_prompts(["red apple", ""])

    ours = draw(
        klein, prompt_embeds=[embeds], negative_embeds=[negative], seeds=[7], num_steps=3, guidance_scale=2.5
    )
    theirs = pipeline(
        prompt="red apple",
        height=64,
        width=64,
        num_inference_steps=3,
        guidance_scale=2.5,
        max_sequence_length=48,
        generator=torch.Generator().manual_seed(7),
        output_type="pt",
    ).images

    torch.testing.assert_close((ours + 1) / 2, theirs, atol=2e-5, rtol=0)


def test_pictures_equal_those_of_the_z_image_pipeline(tiny_zimage_folder: Path) -> None:
    from diffusers import ZImagePipeline

    pipeline = ZImagePipeline.from_pretrained(tiny_zimage_folder)
    pipeline.set_progress_bar_config(disable=True)
    sampling = Sampling(num_steps=3, guidance_scale=2.0, height=64, width=64)
    z_image = ZImage(name="tiny", checkpoint=str(tiny_zimage_folder), sampling=sampling)
    z_image.place(Placement(torch.device("cpu"), torch.float32))
    embeds, negative = z_image.encode_prompts(["red apple", ""])

    ours = draw(z_image, prompt_embeds=[embeds], negative_embeds=[negative], seeds=[7])
    theirs = pipeline(
        prompt="red apple",
        height=64,
        width=64,
        num_inference_steps=3,
        guidance_scale=2.0,
        generator=torch.Generator().manual_seed(7),
        output_type="pt",
    ).images

    torch.testing.assert_close((ours + 1) / 2, theirs, atol=2e-5, rtol=0)


def test_a_picture_depends_on_its_own_seed_and_not_on_its_batch(klein: Flux2Klein) -> None:
    embeds, negative = klein.encode_prompts(["red apple", ""])
    seen: list[int] = []

    together = draw(
        klein,
        prompt_embeds=[embeds] * 3,
        negative_embeds=[negative] * 3,
        seeds=[1, 2, 3],
        batch_size=2,
        progress=seen.append,
    )
    alone = draw(klein, prompt_embeds=[embeds], negative_embeds=[negative], seeds=[3])

    torch.testing.assert_close(together[2:], alone, atol=1e-5, rtol=0)
    assert (together[0] - together[1]).abs().max() > 1e-3
    assert seen == [2, 1]


def test_drawing_leaves_the_mode_of_the_transformer_as_it_was(klein: Flux2Klein) -> None:
    embeds, negative = klein.encode_prompts(["red apple", ""])
    klein.transformer.train()

    draw(klein, prompt_embeds=[embeds], negative_embeds=[negative], seeds=[1])

    assert klein.transformer.training


def test_guidance_without_a_negative_prompt_is_refused(klein: Flux2Klein) -> None:
    embeds = klein.encode_prompts(["red apple"])

    with pytest.raises(UserError, match=r"guidance_scale=3\.0 needs"):
        draw(klein, prompt_embeds=embeds, negative_embeds=None, seeds=[1])


def test_a_size_that_does_not_divide_is_refused(klein: Flux2Klein) -> None:
    embeds = klein.encode_prompts(["red apple"])

    with pytest.raises(UserError, match=r"72x64 .* multiple of 16"):
        draw(klein, prompt_embeds=embeds, negative_embeds=None, seeds=[1], height=72, guidance_scale=1.0)
