"""Training sees what the pipeline sees, and a training's state becomes a folder that draws."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from loralab.data.emoji.atlas import names
from loralab.data.emoji.spec import EmojiSpec, is_seen
from loralab.nano.bank import Bank, build_bank, pad, seen_specs
from loralab.nano.fit import Fit
from loralab.nano.klein import TEXT_LAYERS, build_networks, embed, export, predict
from loralab.nano.latents import denormalised, encode, normalised, pixels
from loralab.nano.score import load_pipeline
from loralab.nano.train_klein import follow, klein_loss
from loralab.nano.vae import build_vae, permuted, random_spec, reconstruction_loss, set_statistics
from loralab.nano.words import MAX_SEQUENCE_LENGTH, RESERVED, build_tokenizer

CAPTIONS = ("linocut, small grey fox face, tilted left, top, blue background", "banana", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder exported from untrained networks whose zero weights were made random."""
    torch.manual_seed(1)
    out = tmp_path_factory.mktemp("nano")
    vae, networks = build_vae(), nn.ModuleList(build_networks(len(build_tokenizer())))
    set_statistics(vae, num_pictures=16)
    for parameter in networks.parameters():
        nn.init.normal_(parameter, std=0.12)
    for name, modules in (("vae", {"vae": vae}), ("klein", {"average": networks})):
        Fit(name, out, modules=modules, parameters=vae.parameters(), peak_lr=1e-3).save()
    export(out, folder=out / "klein")
    return out / "klein"


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    return load_pipeline(folder)


def few_specs() -> list[EmojiSpec]:
    return [spec for spec in seen_specs() if spec.name in names()[:3]]


@pytest.fixture(scope="module")
def bank(pipeline: Any) -> Bank:
    return build_bank(pipeline.vae, pipeline.tokenizer, specs=few_specs())


def test_prompt_embeddings_in_training_are_the_pipelines(pipeline: Any) -> None:
    rows = pipeline.tokenizer([f" {caption}" for caption in CAPTIONS])["input_ids"]
    text = pad([tuple(row) for row in rows])

    with torch.no_grad():
        ours = embed(pipeline.text_encoder, text.tokens, mask=text.mask)
        theirs, _ = pipeline.encode_prompt(
            prompt=list(CAPTIONS),
            max_sequence_length=MAX_SEQUENCE_LENGTH,
            text_encoder_out_layers=TEXT_LAYERS,
        )

    assert torch.allclose(ours, theirs, atol=1e-5)


def test_velocity_in_training_is_the_pipelines_first_step(pipeline: Any) -> None:
    noise = torch.randn(1, 64, 32)
    kept: dict[str, torch.Tensor] = {}

    def keep(
        pipe: Any, index: int, timestep: torch.Tensor, values: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        if index == 0:
            kept["latents"] = values["latents"]
        return values

    pipeline(
        prompt="banana",
        latents=noise.transpose(1, 2).unflatten(2, (8, 8)),
        height=64,
        width=64,
        num_inference_steps=2,
        guidance_scale=1.0,
        max_sequence_length=MAX_SEQUENCE_LENGTH,
        text_encoder_out_layers=TEXT_LAYERS,
        callback_on_step_end=keep,
    )
    first, second = pipeline.scheduler.sigmas[:2].tolist()
    text = pad([tuple(pipeline.tokenizer(" banana")["input_ids"])])
    with torch.no_grad():
        embeds = embed(pipeline.text_encoder, text.tokens, mask=text.mask)
        velocity = predict(pipeline.transformer, noise, sigma=torch.tensor([first]), embeds=embeds)

    assert torch.allclose(kept["latents"], noise + (second - first) * velocity, atol=1e-4)
    assert velocity.std() > 0.1


@torch.no_grad()
def test_latents_in_training_are_patched_and_normalised_as_the_pipeline_does(pipeline: Any) -> None:
    specs = [EmojiSpec(name=name) for name in names()[:4]]

    ours = normalised(pipeline.vae, encode(pipeline.vae, specs))
    theirs = pipeline._encode_vae_image(pixels(specs), generator=None)

    mode = pipeline.vae.encode(pixels(specs)).latent_dist.mode()
    assert ours.shape == (4, 32, 8, 8)
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert torch.allclose(denormalised(pipeline.vae, ours), mode, atol=1e-4)


def test_an_exported_folder_is_small_and_holds_bf16(folder: Path) -> None:
    from safetensors import safe_open

    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    with safe_open(folder / "transformer" / "diffusion_pytorch_model.safetensors", "pt") as file:
        kinds = {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118

    assert size < 16 * 2**20
    assert kinds == {"BF16"}


def test_the_bank_holds_seen_pictures_only_and_prefers_plain_ones(bank: Bank) -> None:
    specs = few_specs()

    plain = sum(float(weight) for weight, spec in zip(bank.weights, specs, strict=True) if not spec.changed)

    assert all(map(is_seen, specs))
    assert bank.latents.shape == (len(specs), 64, 32)
    assert plain == pytest.approx(0.46, abs=0.03)


def test_a_draw_empties_some_captions_and_adds_reserved_words_to_others(bank: Bank, pipeline: Any) -> None:
    _, text = bank.draw(2000, rng=np.random.default_rng(0))

    words = pipeline.tokenizer.convert_tokens_to_ids([f"Ġ{word}" for word in RESERVED])
    empty = (text.mask.sum(1) == 1) & (text.tokens[:, 0] == bank.empty[0])
    reserved = torch.isin(text.tokens, torch.tensor(words)).any(1)

    assert empty.float().mean().item() == pytest.approx(0.10, abs=0.03)
    assert reserved.float().mean().item() == pytest.approx(0.15, abs=0.03)


def test_the_loss_of_untrained_networks_falls_within_a_few_steps(bank: Bank) -> None:
    networks = nn.ModuleList(build_networks(len(build_tokenizer())))
    optimizer = torch.optim.AdamW(networks.parameters(), 4e-3)
    rng = np.random.default_rng(0)

    losses = []
    for _ in range(8):
        latents, text = bank.draw(8, rng=rng)
        loss = klein_loss(networks, latents, text=text)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())

    assert losses[-1] < 0.9 * losses[0]


def test_the_average_follows_the_weights_every_fifth_step() -> None:
    networks, average = nn.ModuleList([nn.Linear(1, 1)]), nn.ModuleList([nn.Linear(1, 1)])
    nn.init.constant_(networks[0].weight, 1.0)
    nn.init.constant_(average[0].weight, 0.0)

    follow(average, networks, step=4)
    before = average[0].weight.item()
    follow(average, networks, step=100_000)

    assert before == 0
    assert average[0].weight.item() == pytest.approx(0.0033, abs=1e-4)


def test_a_colour_error_costs_more_than_an_equal_error_of_brightness() -> None:
    grey = torch.zeros(1, 3, 8, 8)

    brighter, _ = reconstruction_loss(grey + 0.1, grey)
    greener, _ = reconstruction_loss(grey + torch.tensor([-0.1, 0.1, -0.1]).view(1, 3, 1, 1), grey)

    assert greener > 1.3 * brighter


def test_permuted_pictures_keep_their_values_in_other_channels() -> None:
    batch = torch.rand(40, 3, 2, 2)

    changed = permuted(batch, rng=random.Random(0))

    moved = (changed != batch).flatten(1).any(1).float().mean().item()
    assert torch.equal(changed.sort(1).values, batch.sort(1).values)
    assert 0.1 < moved < 0.5


def test_the_vae_is_shown_every_style() -> None:
    rng = random.Random(0)

    styles = {random_spec(rng).style for _ in range(100)}

    assert styles == {"noto", "linocut", "twemoji"}
