"""Trains the nano Z-Image Base's transformer on the bank of varied pictures, by velocity regression.

    x = (1 - sigma) z + sigma e
    loss = |v(x, sigma, caption) - (e - z)|^2
    sigma = 1 / (1 + exp(-n)), n ~ N(0.4, 1.2)

A caption fixes its picture only in part, so that v is a mean over many and few steps of it blur. The text encoder is
frozen. Sampling uses the average of the weights over about the last 1,500 steps.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.flow.path import interpolate, target_velocity
from loralab.nano.fit import Fit, best_device
from loralab.nano.klein import replace_folder
from loralab.nano.train_klein import follow
from loralab.nano.words import build_tokenizer
from loralab.nano.zimage import batched_velocity, compilable
from loralab.nano.zimage_bank import Batch, build_bank
from loralab.nano.zimage_parts import build_text_encoder, build_transformer, scheduler
from loralab.nano.zimage_vae import load_vae

MEAN, STD = 0.4, 1.2


def train_zimage(
    out: Path,
    *,
    minutes: float,
    batch_size: int,
    peak_lr: float,
    num_pictures: int,
    compiled: bool,
    resume: bool,
    seed: int = 0,
) -> None:
    """Trains for `minutes` on latents of `out/zimage_vae_state.pt`; leaves `zimage_state.pt`, weights averaged too."""
    device = best_device()
    torch.manual_seed(seed)
    networks = nn.ModuleList([compilable(build_transformer())]).to(device)
    average = copy.deepcopy(networks).requires_grad_(False)
    modules = {"networks": networks, "average": average}
    fit = Fit("zimage", out, modules=modules, parameters=networks.parameters(), peak_lr=peak_lr)
    fit.resume(resume)
    bank = build_bank(
        load_vae(out),
        build_text_encoder(),
        build_tokenizer(),
        num_pictures=num_pictures,
        seed=seed,
        device=device,
    )
    generator = torch.Generator(device).manual_seed(seed + fit.step)
    torch.manual_seed(seed + fit.step)
    loss_on = torch.compile(velocity_loss) if compiled else velocity_loss

    def loss_of() -> tuple[Tensor, dict[str, float]]:
        batch = bank.draw(batch_size, generator=generator)
        noise = torch.randn(batch.latents.shape, generator=generator, device=device)
        sigma = torch.sigmoid(torch.randn(batch_size, generator=generator, device=device) * STD + MEAN)
        with torch.autocast(device.type, torch.bfloat16):
            return loss_on(networks[0], batch, noise=noise, sigma=sigma), {}

    fit.run(
        loss_of,
        minutes=minutes,
        warmup_steps=200,
        after_step=lambda step: follow(average, networks, step=step),
    )


def velocity_loss(
    transformer: Any, batch: Batch, *, noise: Float[Tensor, " b c h w"], sigma: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Mean squared error of the velocity."""
    noisy = interpolate(batch.latents, noise, sigma)
    velocity = batched_velocity(
        transformer, noisy, sigma=sigma, prompt_embeds=batch.prompt_embeds, lengths=batch.lengths
    )
    return (velocity - target_velocity(batch.latents, noise)).square().mean()


def export_zimage(out: Path, *, folder: Path, variant: str = "base") -> int:
    """Writes the diffusers folder of the states in `out` (averaged weights); returns its size in bytes.

    Text encoder and transformer are written in bf16, the VAE in fp16.
    """
    from diffusers import ZImagePipeline

    transformer = build_transformer()
    state = torch.load(out / "zimage_state.pt", map_location="cpu", weights_only=True)["average"]
    transformer.load_state_dict({key.removeprefix("0."): value for key, value in state.items()})
    pipeline = ZImagePipeline(
        scheduler=scheduler(variant),
        vae=load_vae(out).half(),
        text_encoder=build_text_encoder().bfloat16(),
        tokenizer=build_tokenizer(),
        transformer=transformer.bfloat16(),
    )
    return replace_folder(pipeline, folder)
