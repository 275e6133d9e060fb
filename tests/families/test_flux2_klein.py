"""FLUX.2 Klein: clock, sign, ids, scaling, and equality with the diffusers pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.families.oracles import KleinOracle
from tests.tiny import klein_transformer, save_klein

from loralab.denoiser import Sampling
from loralab.errors import UserError
from loralab.families.flux2_klein import Flux2Klein, components
from loralab.flow import clean_estimate, euler, interpolate, seeded_noise
from loralab.memory import Placement

PROMPTS = ("a photo of a cat", "a robot is dancing, painted in oil, red and blue")
DISTILLED = Sampling(num_steps=4, guidance_scale=1.0, height=64, width=96)
BASE = Sampling(num_steps=50, guidance_scale=4.0, height=64, width=96)


def klein(folder: Path, *, variant: str = "base", max_prompt_length: int = 64) -> Flux2Klein:
    return Flux2Klein(
        name="tiny",
        checkpoint=str(folder),
        sampling=BASE if variant == "base" else DISTILLED,
        variant=variant,
        max_prompt_length=max_prompt_length,
    )


def test_a_perfect_network_leads_back_to_the_data_in_one_step(tiny_klein_folder: Path) -> None:
    latents, noise = torch.randn(2, 16, 4, 6), torch.randn(2, 16, 4, 6)
    sigma = torch.tensor([0.3, 0.9])
    denoiser = klein(tiny_klein_folder).with_transformer(KleinOracle(latents))

    noisy = interpolate(latents, noise, sigma)
    velocity = denoiser.velocity(noisy, sigma=sigma, prompt_embeds=[torch.zeros(5, 48)] * 2)

    torch.testing.assert_close(clean_estimate(noisy, velocity, sigma), latents, atol=1e-5, rtol=0)
    torch.testing.assert_close(velocity, noise - latents, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_clock_reaches_the_sinusoids_unrounded(tiny_klein_folder: Path, dtype: torch.dtype) -> None:
    denoiser = klein(tiny_klein_folder)
    denoiser.place(Placement(torch.device("cpu"), dtype))
    told = []
    denoiser.transformer.time_guidance_embed.time_proj.register_forward_pre_hook(
        lambda _, args: told.append(args[0])
    )

    answer = denoiser.velocity(
        torch.randn(1, 16, 4, 6),
        sigma=torch.tensor([0.7234]),
        prompt_embeds=[torch.randn(5, 48, dtype=dtype)],
    )

    assert told[0].item() == pytest.approx(723.4, abs=1e-3)
    assert answer.dtype == torch.float32
    assert next(denoiser.transformer.parameters()).dtype == dtype


def test_tokens_carry_the_pipelines_ids(tiny_klein_folder: Path) -> None:
    from diffusers import Flux2KleinPipeline

    latents = torch.randn(2, 16, 4, 6)
    oracle = KleinOracle(latents)
    denoiser = klein(tiny_klein_folder).with_transformer(oracle)

    denoiser.velocity(latents, sigma=torch.tensor([0.5, 0.5]), prompt_embeds=[torch.zeros(7, 48)] * 2)

    assert torch.equal(oracle.told["img_ids"], Flux2KleinPipeline._prepare_latent_ids(latents)[0])
    assert torch.equal(oracle.told["txt_ids"], Flux2KleinPipeline._prepare_text_ids(torch.zeros(1, 7, 48))[0])
    assert torch.equal(oracle.told["hidden_states"], Flux2KleinPipeline._pack_latents(latents))


def test_ids_are_counted_on_the_device_and_never_copied_to_it() -> None:
    device = torch.device("meta")

    ids = (components.picture_ids(height=2, width=3, device=device), components.prompt_ids(7, device=device))

    assert [(tuple(one.shape), one.device.type) for one in ids] == [((6, 4), "meta"), ((7, 4), "meta")]


def test_stacked_prompts_count_as_a_list_of_them(tiny_klein_folder: Path) -> None:
    denoiser, noisy = klein(tiny_klein_folder), torch.randn(2, 16, 4, 6)
    sigma, prompts = torch.tensor([0.2, 0.8]), torch.randn(2, 5, 48)

    stacked = denoiser.velocity(noisy, sigma=sigma, prompt_embeds=prompts)

    assert torch.equal(stacked, denoiser.velocity(noisy, sigma=sigma, prompt_embeds=list(prompts)))


def test_prompts_and_pictures_are_encoded_as_by_the_pipeline(tiny_klein_folder: Path) -> None:
    from diffusers import Flux2KleinPipeline

    pipeline = Flux2KleinPipeline.from_pretrained(tiny_klein_folder)
    denoiser = klein(tiny_klein_folder)
    pixels = torch.rand(2, 3, 64, 96) * 2 - 1

    embeds, latents = denoiser.encode_prompts(PROMPTS), denoiser.encode_pixels(pixels)
    with torch.no_grad():
        expected_embeds, _ = pipeline.encode_prompt(list(PROMPTS), max_sequence_length=64)
        expected_latents = pipeline._encode_vae_image(pixels, generator=None)

    torch.testing.assert_close(torch.stack(embeds), expected_embeds, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(latents, expected_latents, atol=1e-5, rtol=1e-5)
    assert latents.shape[1:] == denoiser.latents_shape(height=64, width=96)


@pytest.mark.parametrize(("is_distilled", "num_steps", "guidance_scale"), [(False, 3, 4.0), (True, 4, 1.0)])
def test_euler_draws_what_the_pipeline_draws(
    tmp_path: Path, is_distilled: bool, num_steps: int, guidance_scale: float
) -> None:
    from diffusers import Flux2KleinPipeline

    folder = save_klein(tmp_path / "model", seed=5, is_distilled=is_distilled)
    pipeline = Flux2KleinPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    denoiser = klein(folder, variant="distilled" if is_distilled else "base")
    noise = seeded_noise((2, 16, 4, 6), seed=1, stream="preview", index=0)

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


def test_latents_come_back_as_the_vaes_own_reconstruction(tiny_klein_folder: Path) -> None:
    from diffusers import AutoencoderKLFlux2

    vae = AutoencoderKLFlux2.from_pretrained(tiny_klein_folder / "vae").eval()
    denoiser = klein(tiny_klein_folder)
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1

    ours = denoiser.decode_latents(denoiser.encode_pixels(pixels))
    with torch.no_grad():
        theirs = vae.decode(vae.encode(pixels).latent_dist.mode()).sample.clamp(-1, 1)

    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_an_embedding_is_as_long_as_the_limit_and_a_long_prompt_is_reported(
    tiny_klein_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    denoiser = klein(tiny_klein_folder, max_prompt_length=24)

    short, long = denoiser.encode_prompts(["cat", "cat " * 50])

    assert short.shape == long.shape == (24, 48)
    assert "cut to 24" in caplog.text
    assert caplog.text.count("cut to") == 1


@pytest.mark.parametrize(
    ("targets", "per_double", "per_single", "shared"),
    [("attention", 4, 2, 0), ("attention_mlp", 12, 2, 0), ("all", 12, 2, 3)],
)
@pytest.mark.parametrize(("num_layers", "num_single_layers"), [(2, 3), (3, 1)])
def test_targets_name_linear_layers_of_every_block(
    tiny_klein_folder: Path,
    targets: str,
    per_double: int,
    per_single: int,
    shared: int,
    num_layers: int,
    num_single_layers: int,
) -> None:
    import re

    network = klein_transformer(num_layers=num_layers, num_single_layers=num_single_layers)
    pattern = klein(tiny_klein_folder).target_pattern(targets)

    hits = {name: module for name, module in network.named_modules() if re.fullmatch(pattern, name)}

    assert all(isinstance(module, torch.nn.Linear) for module in hits.values())
    assert len(hits) == per_double * num_layers + per_single * num_single_layers + shared


def test_attention_in_a_double_block_is_that_of_the_picture_stream(tiny_klein_folder: Path) -> None:
    import re

    pattern = klein(tiny_klein_folder).target_pattern("attention")
    names = [name for name, _ in klein_transformer().named_modules() if re.fullmatch(pattern, name)]

    first = [name for name in names if name.startswith("transformer_blocks.0.")]
    single = [name for name in names if name.startswith("single_transformer_blocks.0.")]

    assert {name.removeprefix("transformer_blocks.0.attn.") for name in first} == {
        "to_q",
        "to_k",
        "to_v",
        "to_out.0",
    }
    assert {name.removeprefix("single_transformer_blocks.0.attn.") for name in single} == {
        "to_qkv_mlp_proj",
        "to_out",
    }


def test_foreign_names_lead_to_layers_that_exist(tiny_klein_folder: Path) -> None:
    import re

    foreign = klein(tiny_klein_folder).foreign_names
    ours = {
        name for name, module in klein_transformer().named_modules() if isinstance(module, torch.nn.Linear)
    }
    samples = (
        "double_blocks.1.img_attn.proj double_blocks.1.txt_attn.proj double_blocks.0.img_mlp.0"
        " double_blocks.0.img_mlp.2 double_blocks.0.txt_mlp.0 double_blocks.0.txt_mlp.2 single_blocks.2.linear1"
        " single_blocks.2.linear2 double_stream_modulation_img.lin single_stream_modulation.lin img_in txt_in"
        " time_in.in_layer time_in.out_layer final_layer.linear"
    ).split()

    def renamed(name: str) -> str:
        return next(re.sub(old, new, name) for old, new in foreign.renamed.items() if re.fullmatch(old, name))

    assert {renamed(name) for name in samples} <= ours
    assert len({renamed(name) for name in samples}) == len(samples)
    for pattern, parts in foreign.fused.items():
        example = pattern.replace(r"(\d+)", "1").replace("\\", "")
        assert {re.sub(pattern, part, example) for part in parts} <= ours


def test_guidance_that_has_no_effect_is_refused(tiny_klein_folder: Path) -> None:
    base, distilled = klein(tiny_klein_folder), klein(tiny_klein_folder, variant="distilled")

    assert base.guides(4.0)
    assert not base.guides(1.0)
    assert not distilled.guides(1.0)
    with pytest.raises(UserError, match=r"guidance_scale=4\.0 has no effect"):
        distilled.guides(4.0)


def test_a_distilled_checkpoint_under_a_bases_name_is_refused(tmp_path: Path) -> None:
    folder = save_klein(tmp_path / "model", is_distilled=True)

    with pytest.raises(UserError, match="is distilled"):
        klein(folder).identity()
