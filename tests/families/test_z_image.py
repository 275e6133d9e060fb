"""Z-Image: clock, sign, lists, scaling, and equality with the diffusers pipeline."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from tests.families.oracles import ZImageOracle
from tests.tiny import save_zimage, zimage_transformer

from loralab.denoiser import Sampling
from loralab.errors import UserError
from loralab.families.z_image import ZImage
from loralab.flow import clean_estimate, euler, interpolate, seeded_noise
from loralab.memory import Placement

PROMPTS = ("a photo of a cat", "a robot is dancing, painted in oil, red and blue")


def zimage(folder: Path, *, variant: str = "base", max_prompt_length: int = 64) -> ZImage:
    return ZImage(
        name="tiny",
        checkpoint=str(folder),
        sampling=Sampling(num_steps=8, guidance_scale=0.0, height=64, width=96),
        variant=variant,
        max_prompt_length=max_prompt_length,
    )


def test_a_perfect_network_leads_back_to_the_data_in_one_step(tiny_zimage_folder: Path) -> None:
    latents, noise = torch.randn(2, 16, 8, 12), torch.randn(2, 16, 8, 12)
    sigma = torch.tensor([0.3, 0.9])
    denoiser = zimage(tiny_zimage_folder).with_transformer(ZImageOracle(latents))

    noisy = interpolate(latents, noise, sigma)
    velocity = denoiser.velocity(noisy, sigma=sigma, prompt_embeds=[torch.zeros(5, 16), torch.zeros(9, 16)])

    torch.testing.assert_close(clean_estimate(noisy, velocity, sigma), latents, atol=1e-5, rtol=0)
    torch.testing.assert_close(velocity, noise - latents, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_clock_is_turned_round_and_reaches_the_sinusoids_unrounded(
    tiny_zimage_folder: Path, dtype: torch.dtype
) -> None:
    denoiser = zimage(tiny_zimage_folder)
    denoiser.place(Placement(torch.device("cpu"), dtype))
    told = []
    denoiser.transformer.t_embedder.register_forward_pre_hook(lambda _, args: told.append(args[0]))

    answer = denoiser.velocity(
        torch.randn(1, 16, 8, 12),
        sigma=torch.tensor([0.7234]),
        prompt_embeds=[torch.randn(5, 16, dtype=dtype)],
    )

    assert told[0].item() == pytest.approx(276.6, abs=1e-3)
    assert answer.dtype == torch.float32
    assert next(denoiser.transformer.parameters()).dtype == dtype


def test_a_sample_does_not_depend_on_what_else_is_in_the_batch(tiny_zimage_folder: Path) -> None:
    denoiser = zimage(tiny_zimage_folder)
    noisy, sigma = torch.randn(2, 16, 8, 12), torch.tensor([0.2, 0.8])
    prompts = [torch.randn(5, 16), torch.randn(40, 16)]

    together = denoiser.velocity(noisy, sigma=sigma, prompt_embeds=prompts)
    alone = [
        denoiser.velocity(noisy[i : i + 1], sigma=sigma[i : i + 1], prompt_embeds=prompts[i : i + 1])
        for i in range(2)
    ]

    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


def test_a_surplus_prompt_is_an_error_and_not_dropped(tiny_zimage_folder: Path) -> None:
    denoiser = zimage(tiny_zimage_folder)

    with pytest.raises(ValueError, match="1 latents, 1 sigmas and 2 prompts"):
        denoiser.velocity(
            torch.randn(1, 16, 8, 12), sigma=torch.tensor([0.5]), prompt_embeds=[torch.randn(5, 16)] * 2
        )


@pytest.mark.parametrize("bare_encoder", [False, True])
def test_prompts_are_encoded_as_by_the_pipeline(tmp_path: Path, bare_encoder: bool) -> None:
    from diffusers import ZImagePipeline

    folder = save_zimage(tmp_path / "model", seed=3, bare_encoder=bare_encoder)
    pipeline = ZImagePipeline.from_pretrained(folder)

    embeds = zimage(folder).encode_prompts(PROMPTS)
    with torch.no_grad():
        expected, _ = pipeline.encode_prompt(
            list(PROMPTS), do_classifier_free_guidance=False, max_sequence_length=64
        )

    assert [len(embed) for embed in embeds] == [len(embed) for embed in expected]
    for ours, theirs in zip(embeds, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_latents_are_shifted_and_scaled_and_come_back(tiny_zimage_folder: Path) -> None:
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(tiny_zimage_folder / "vae").eval()
    denoiser = zimage(tiny_zimage_folder)
    pixels = torch.rand(2, 3, 64, 96) * 2 - 1

    latents = denoiser.encode_pixels(pixels)
    with torch.no_grad():
        raw = vae.encode(pixels).latent_dist.mode()
        reconstruction = vae.decode(raw).sample.clamp(-1, 1)

    torch.testing.assert_close(latents, (raw - 0.1159) * 0.3611, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(denoiser.decode_latents(latents), reconstruction, atol=1e-4, rtol=0)
    assert latents.shape[1:] == denoiser.latents_shape(height=64, width=96)


@pytest.mark.parametrize(("shift", "num_steps", "guidance_scale"), [(3.0, 8, 0.0), (6.0, 3, 4.0)])
def test_euler_draws_what_the_pipeline_draws(
    tmp_path: Path, shift: float, num_steps: int, guidance_scale: float
) -> None:
    from diffusers import ZImagePipeline

    folder = save_zimage(tmp_path / "model", seed=5, shift=shift)
    pipeline = ZImagePipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    denoiser = zimage(folder)
    noise = seeded_noise((2, 16, 8, 12), seed=1, stream="preview", index=0)

    positive, negative = denoiser.encode_prompts(PROMPTS), denoiser.encode_prompts(["", ""])

    @torch.no_grad()
    def velocity(noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        conditional = denoiser.velocity(noisy, sigma=sigma, prompt_embeds=positive)
        if not denoiser.guides(guidance_scale):
            return conditional
        unconditional = denoiser.velocity(noisy, sigma=sigma, prompt_embeds=negative)
        return denoiser.guide(conditional, unconditional, guidance_scale)

    sigmas = denoiser.sampling_sigmas(num_steps=num_steps, latents_shape=noise.shape)
    ours = denoiser.decode_latents(euler(velocity, noise, sigmas))
    theirs = pipeline(
        prompt=list(PROMPTS), height=64, width=96, num_inference_steps=num_steps, guidance_scale=guidance_scale,
        latents=noise, max_sequence_length=64, output_type="pt",
    ).images  # fmt: skip

    torch.testing.assert_close(ours / 2 + 0.5, theirs, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("targets", "per_block", "num_refiner_layers", "expected"),
    [
        ("attention", 4, 1, 2 * 4),
        ("attention_mlp", 7, 1, 2 * 7),
        # main blocks and noise refiner are modulated, the context refiner is not
        ("all", 8, 1, 2 * 8 + 8 + 7),
        ("all", 8, 2, 2 * 8 + 2 * 8 + 2 * 7),
    ],
)
def test_targets_name_linear_layers_of_every_block(
    tiny_zimage_folder: Path, targets: str, per_block: int, num_refiner_layers: int, expected: int
) -> None:
    network = zimage_transformer(num_layers=2, num_refiner_layers=num_refiner_layers)
    larger = zimage_transformer(num_layers=3, num_refiner_layers=num_refiner_layers)
    pattern = zimage(tiny_zimage_folder).target_pattern(targets)

    hits = {name: module for name, module in network.named_modules() if re.fullmatch(pattern, name)}
    more = [name for name, _ in larger.named_modules() if re.fullmatch(pattern, name)]

    assert all(isinstance(module, torch.nn.Linear) for module in hits.values())
    assert len(hits) == expected
    assert len(more) == expected + per_block


def test_foreign_names_lead_to_layers_that_exist(tiny_zimage_folder: Path) -> None:
    foreign = zimage(tiny_zimage_folder).foreign_names
    ours = {
        name for name, module in zimage_transformer().named_modules() if isinstance(module, torch.nn.Linear)
    }
    samples = (
        "layers.1.attention.out noise_refiner.0.attention.out context_refiner.0.attention.to_out x_embedder"
        " final_layer.linear final_layer.adaLN_modulation.1"
    ).split()

    for name in samples:
        assert (
            next(re.sub(old, new, name) for old, new in foreign.renamed.items() if re.fullmatch(old, name))
            in ours
        )
    for pattern, parts in foreign.fused.items():
        assert re.fullmatch(pattern, "layers.1.attention.qkv")
        assert [re.sub(pattern, part, "layers.1.attention.qkv") for part in parts] == [
            f"layers.1.attention.to_{x}" for x in "qkv"
        ]


def test_turbo_refuses_guidance(tiny_zimage_folder: Path) -> None:
    base, turbo = zimage(tiny_zimage_folder), zimage(tiny_zimage_folder, variant="distilled")

    assert base.guides(4.0)
    assert not base.guides(0.0)
    assert not turbo.guides(0.0)
    with pytest.raises(UserError, match="sampled at guidance 0"):
        turbo.guides(1.0)
