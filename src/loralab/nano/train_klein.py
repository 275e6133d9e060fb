"""Trains the nano Klein's text encoder and transformer together on the bank of seen pictures.

    x = (1 - sigma) z + sigma e
    loss = |v(x, sigma, caption) - (e - z)|^2
    sigma = 1 / (1 + exp(-n)), n ~ N(0.5, 1)

Sampling uses the average of the weights over about the last 1,500 steps.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.flow.path import interpolate, target_velocity
from loralab.nano.bank import TextBatch, build_bank, seen_specs
from loralab.nano.fit import Fit, best_device
from loralab.nano.klein import build_networks, embed, predict
from loralab.nano.vae import load_vae
from loralab.nano.words import build_tokenizer

AVERAGE_EVERY = 5


def train_klein(
    out: Path, *, minutes: float, batch_size: int, peak_lr: float, compiled: bool, resume: bool, seed: int = 0
) -> None:
    """Trains for `minutes` on the latents of `out/vae_state.pt`; leaves `klein_state.pt` with the averaged weights."""
    device, tokenizer = best_device(), build_tokenizer()
    torch.manual_seed(seed)
    text_encoder, transformer = build_networks(len(tokenizer))
    networks = nn.ModuleList([text_encoder, transformer]).to(device)
    average = copy.deepcopy(networks).requires_grad_(False)
    modules = {"networks": networks, "average": average}
    fit = Fit("klein", out, modules=modules, parameters=networks.parameters(), peak_lr=peak_lr)
    fit.resume(resume)
    bank = build_bank(load_vae(out / "vae_state.pt").to(device), tokenizer, specs=seen_specs())
    rng = np.random.default_rng([seed, fit.step])
    torch.manual_seed(seed + fit.step)
    if device.type == "cpu":  # its matrix products beat the fused kernel at 80 tokens, and compile better
        transformer.set_attention_backend("_native_math")
    if compiled:
        transformer.compile_repeated_blocks()

    def loss_of() -> tuple[Tensor, dict[str, float]]:
        latents, text = bank.draw(batch_size, rng=rng)
        with torch.autocast(device.type, torch.bfloat16):
            return klein_loss(networks, latents.to(device), text=text.to(device)), {}

    fit.run(
        loss_of,
        minutes=minutes,
        warmup_steps=200,
        after_step=lambda step: follow(average, networks, step=step),
    )


def klein_loss(
    networks: nn.ModuleList, latents: Float[Tensor, " b n c"], *, text: TextBatch
) -> Float[Tensor, ""]:
    """Mean squared error of the velocity at random sigmas."""
    text_encoder, transformer = networks
    embeds = embed(text_encoder, text.tokens, mask=text.mask)
    sigma = torch.sigmoid(torch.randn(len(latents), device=latents.device) + 0.5)
    noise = torch.randn_like(latents)
    velocity = predict(transformer, interpolate(latents, noise, sigma), sigma=sigma, embeds=embeds)
    return (velocity - target_velocity(latents, noise)).square().mean()


@torch.no_grad()
def follow(average: nn.ModuleList, networks: nn.ModuleList, *, step: int) -> None:
    """Moves the averaged weights towards the current ones; their memory grows from 100 to 1,500 steps."""
    if step % AVERAGE_EVERY:
        return
    updates = step / AVERAGE_EVERY
    share = 1 - min(0.9967, (1 + updates) / (20 + updates))
    for mean, value in zip(average.parameters(), networks.parameters(), strict=True):
        mean.lerp_(value, share)
