"""Training sees what the pipeline sees, captions leave pictures open, and a state becomes a folder that draws."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from loralab.data.emoji.varied import draw_varied
from loralab.families.z_image import ZImage
from loralab.nano.fit import Fit
from loralab.nano.score_zimage import SETTINGS, of_caption, score_zimage
from loralab.nano.train_zimage import export_zimage, velocity_loss
from loralab.nano.words import RESERVED, build_tokenizer
from loralab.nano.zimage import compilable
from loralab.nano.zimage_bank import VariedBank, build_bank, embed_captions, encode_pixels, pictures, to_unit
from loralab.nano.zimage_draw import Twin, draw, load_twin
from loralab.nano.zimage_parts import build_text_encoder, build_transformer, build_vae
from loralab.nano.zimage_vae import load_vae, normalise, permuted

CAPTIONS = ["linocut, small grey fox face, top, blue background", "banana", ""]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """States of a transformer whose weights are all random and of a VAE that was normalised on 64 pictures."""
    torch.manual_seed(1)
    out = tmp_path_factory.mktemp("nano")
    vae, transformer = build_vae(), build_transformer()
    normalise(vae, encode_pixels(vae, pictures([draw_varied(0, index=index) for index in range(64)])))
    for parameter in transformer.parameters():
        nn.init.normal_(parameter, std=0.1)
    average = nn.ModuleList([compilable(transformer)])
    for name, modules in (("zimage_vae", {"vae": vae}), ("zimage", {"average": average})):
        Fit(name, out, modules=modules, parameters=vae.parameters(), peak_lr=1e-3).save()
    return out


@pytest.fixture(scope="module")
def folder(out: Path) -> Path:
    export_zimage(out, folder=out / "zimage_base")
    return out / "zimage_base"


@pytest.fixture(scope="module")
def twin(folder: Path) -> Twin:
    return load_twin(folder, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    from diffusers import ZImagePipeline

    loaded = ZImagePipeline.from_pretrained(folder)
    loaded.text_encoder.float()
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def bank(out: Path) -> VariedBank:
    parts = load_vae(out), build_text_encoder(), build_tokenizer()
    return build_bank(*parts, num_pictures=600, seed=0, device=torch.device("cpu"))


def test_an_exported_folder_has_at_most_11_mb_and_halves(folder: Path) -> None:
    from safetensors import safe_open

    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    kinds = {}
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            kinds[path.parent.name] = {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118

    assert sum(sizes) <= 11e6
    assert kinds == {"transformer": {"BF16"}, "text_encoder": {"BF16"}, "vae": {"F16"}}


def test_the_folder_is_a_z_image_base_for_its_family(folder: Path, twin: Twin) -> None:
    from loralab.denoiser import Sampling

    sampling = Sampling(num_steps=50, guidance_scale=1.5, height=64, width=64)
    family = ZImage(name="nano", checkpoint=str(folder), sampling=sampling, max_prompt_length=16)

    prompts = family.encode_prompts(CAPTIONS)
    ours, lengths = embed_captions(twin.text_encoder, twin.tokenizer, captions=CAPTIONS)
    sigmas = family.sampling_sigmas(num_steps=50, latents_shape=(8, 16, 16))

    assert family.latents_shape(height=64, width=64) == (8, 16, 16)
    assert sigmas[1].item() == pytest.approx(6 * 0.98 / (1 + 5 * 0.98), abs=1e-4)
    for prompt, row, length in zip(prompts, ours, lengths.tolist(), strict=True):
        assert len(prompt) == length
        assert torch.allclose(prompt.float(), row[:length], atol=1e-3 * float(row.abs().max()))


def test_pictures_drawn_in_batches_are_the_pipelines(twin: Twin, pipeline: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 8, 16, 16, generator=generator)

    ours = draw(twin, CAPTIONS[:2], num_steps=3, guidance_scale=1.5, seed=0)
    theirs = pipeline(
        prompt=CAPTIONS[:2], latents=noise, height=64, width=64, num_inference_steps=3, guidance_scale=1.5,
        max_sequence_length=16, output_type="pt",
    ).images  # fmt: skip

    assert ours.std() > 0.05
    assert torch.allclose(ours, theirs.float(), atol=2e-3)


def test_normalising_latents_changes_no_picture() -> None:
    plain, vae = build_vae().eval(), build_vae().eval()
    shown = pictures([draw_varied(0, index=index) for index in range(32)])

    normalise(vae, encode_pixels(vae, shown))
    latents, plain_latents = encode_pixels(vae, shown), encode_pixels(plain, shown)

    with torch.no_grad():
        before, after = plain.decode(plain_latents).sample, vae.decode(latents).sample
        one, two = (coder.encode(to_unit(shown)).latent_dist.std.mean((0, 2, 3)) for coder in (plain, vae))
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(8), atol=1e-3)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(8), atol=1e-3)
    assert torch.allclose(before, after, atol=1e-3)
    assert torch.allclose(
        one / two, plain_latents.std((0, 2, 3)), rtol=1e-3
    )  # the posterior's noise shrinks alike


def test_permuted_pictures_keep_their_values_in_other_channels() -> None:
    batch = torch.rand(200, 3, 2, 2)

    changed = permuted(batch)

    moved = (changed != batch).flatten(1).any(1).float().mean().item()
    assert torch.equal(changed.sort(1).values, batch.sort(1).values)
    assert 0.15 < moved < 0.45  # 35 % are shuffled, a sixth of which to what they were


def test_a_draw_empties_a_tenth_of_the_captions_and_few_carry_a_reserved_word(
    bank: VariedBank, twin: Twin
) -> None:
    batch = bank.draw(4000, generator=torch.Generator().manual_seed(0))
    empty, _ = embed_captions(build_text_encoder(), build_tokenizer(), captions=[""])

    emptied = (batch.prompt_embeds == empty).flatten(1).all(1).float().mean().item()

    assert batch.latents.shape == (4000, 8, 16, 16)
    assert emptied == pytest.approx(0.10, abs=0.02)


def test_reserved_words_are_far_apart_for_the_text_encoder(twin: Twin) -> None:
    captions = [f"{word}, crab" for word in RESERVED]

    embeds, _ = embed_captions(twin.text_encoder, twin.tokenizer, captions=captions)

    spread = torch.cdist(embeds[:, 0], embeds[:, 0]) + torch.eye(len(RESERVED)) * 1e9
    assert spread.min() > 0.3 * embeds[:, 0].norm(dim=1).mean()


def test_the_loss_of_an_untrained_transformer_falls_within_a_few_steps(bank: VariedBank) -> None:
    torch.manual_seed(0)
    transformer = compilable(build_transformer())
    optimizer = torch.optim.AdamW(transformer.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)

    losses = []
    for _ in range(8):
        batch = bank.draw(16, generator=generator)
        noise, sigma = torch.randn_like(batch.latents), torch.rand(16)
        loss = velocity_loss(transformer, batch, noise=noise, sigma=sigma)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())

    assert losses[-1] < 0.95 * losses[0]


def test_pictures_of_one_caption_tell_nothing_but_it_and_differ() -> None:
    shown = of_caption("sunflower", count=16)

    assert {picture.caption for picture in shown} == {"sunflower"}
    assert len({picture.spec for picture in shown}) > 3
    assert len({picture.seed for picture in shown}) == 16


@pytest.mark.slow
def test_figures_are_written_for_every_setting_of_the_variant(folder: Path, tmp_path: Path) -> None:
    score_zimage(folder, variant="distilled", limit=1, json_path=tmp_path / "score.json")

    figures = json.loads((tmp_path / "score.json").read_text())

    assert 0 < figures["sharpness of the VAE"] < 1.1
    assert {"sharpness", "spread", "retrieval of plain captions"} < set(figures["8 steps, guidance 0.0"])
    assert len(figures) == 1 + len(SETTINGS["distilled"])


COMPILED = """
import torch
from loralab.nano.zimage import batched_velocity, compilable
from loralab.nano.zimage_parts import build_transformer

transformer, noisy = compilable(build_transformer()), torch.randn(2, 8, 16, 16)
given = {"sigma": torch.rand(2), "prompt_embeds": torch.randn(2, 16, 128), "lengths": torch.tensor([3, 16])}
with torch.no_grad():
    compiled = torch.compile(batched_velocity, fullgraph=True)(transformer, noisy, **given)
    assert torch.allclose(compiled, batched_velocity(transformer, noisy, **given), atol=1e-4)
"""


@pytest.mark.slow
def test_the_velocity_compiles_as_one() -> None:
    """In a process of its own: the shape checks of the tests are nothing that a compiler can read."""
    subprocess.run([sys.executable, "-c", COMPILED], check=True)
