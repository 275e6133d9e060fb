"""Latents as the transformer sees them: 2x2 patches stacked into channels, normalised per channel by the VAE."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from loralab.data.emoji.render import render
from loralab.data.emoji.spec import EmojiSpec

CHUNK = 128


def pixels(specs: Iterable[EmojiSpec]) -> Float[Tensor, " b 3 h w"]:
    """The rendered specs in [-1, 1]."""
    stacked = np.stack([render(spec) for spec in specs])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def encode(vae: Any, specs: Sequence[EmojiSpec]) -> Float[Tensor, " b c h w"]:
    """Latents of rendered specs (the posterior's mean), patches stacked, not yet normalised; on the CPU."""
    device = next(vae.parameters()).device
    chunks = (specs[start : start + CHUNK] for start in range(0, len(specs), CHUNK))
    modes = [vae.encode(pixels(chunk).to(device)).latent_dist.mode().cpu() for chunk in chunks]
    return pixel_unshuffle(torch.cat(modes), 2)


def measure_statistics(vae: Any, latents: Float[Tensor, " b c h w"]) -> None:
    """Writes the mean and variance per channel of these latents into the VAE."""
    vae.bn.running_mean.copy_(latents.mean((0, 2, 3)))
    vae.bn.running_var.copy_(latents.var((0, 2, 3)))


def normalised(vae: Any, latents: Float[Tensor, " b c h w"]) -> Float[Tensor, " b c h w"]:
    """Latents with mean 0 and variance 1 per channel."""
    mean, deviation = _statistics(vae, latents)
    return (latents - mean) / deviation


def denormalised(vae: Any, latents: Float[Tensor, " b c h w"]) -> Float[Tensor, " b c2 h2 w2"]:
    """What the VAE decodes: the statistics put back, patches unstacked."""
    mean, deviation = _statistics(vae, latents)
    return pixel_shuffle(latents * deviation + mean, 2)


def _statistics(vae: Any, latents: Tensor) -> tuple[Tensor, Tensor]:
    mean, variance = (
        stat.to(latents).view(1, -1, 1, 1) for stat in (vae.bn.running_mean, vae.bn.running_var)
    )
    return mean, torch.sqrt(variance + vae.config.batch_norm_eps)
