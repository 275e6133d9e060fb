"""The nano Z-Image at work: captions to pictures as the pipeline draws them, in whole batches.

velocity = conditional + guidance_scale (conditional - unconditional)          Z-Image's convention; 0 is unguided
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.flow.few_step import few_step_sigmas, rollout
from loralab.nano.fit import best_device
from loralab.nano.zimage import batched_velocity, compilable
from loralab.nano.zimage_bank import embed_captions
from loralab.nano.zimage_parts import TRANSFORMER

LATENT_SIDE, BATCH_SIZE = 16, 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Twin:
    """The parts of a nano Z-Image folder in fp32 on one device, and the shift of its scheduler."""

    transformer: Any
    text_encoder: Any
    tokenizer: Any
    vae: Any
    shift: float

    @property
    def device(self) -> torch.device:
        """Where the parts are."""
        device: torch.device = self.vae.device
        return device


def load_twin(folder: Path, *, device: torch.device | None = None) -> Twin:
    """The parts of a diffusers folder, frozen, on `device` or the best one here."""
    from diffusers import ZImagePipeline

    pipeline = ZImagePipeline.from_pretrained(folder, use_safetensors=True)
    parts = {
        name: getattr(pipeline, name).float().eval().requires_grad_(False).to(device or best_device())
        for name in ("transformer", "text_encoder", "vae")
    }
    compilable(parts["transformer"])
    parts["transformer"].to(device or best_device())
    return Twin(tokenizer=pipeline.tokenizer, shift=pipeline.scheduler.config.shift, **parts)


def draw(
    twin: Twin,
    captions: Sequence[str],
    *,
    num_steps: int,
    guidance_scale: float,
    shift: float | None = None,
    seed: int = 0,
) -> Float[Tensor, " b 3 h w"]:
    """Pictures in [0, 1] on the CPU; `shift` in place of the scheduler's own."""
    sigmas = few_step_sigmas(num_steps, shift=shift or twin.shift)
    generator = torch.Generator().manual_seed(seed)
    shape = (TRANSFORMER["in_channels"], LATENT_SIDE, LATENT_SIDE)
    noise = torch.randn(len(captions), *shape, generator=generator)
    parts = []
    for start in range(0, len(captions), BATCH_SIZE):
        rows = slice(start, start + BATCH_SIZE)
        velocity = guided(twin, captions[rows], guidance_scale=guidance_scale)
        states = rollout(velocity, noise[rows].to(twin.device), sigmas=sigmas.to(twin.device)).states
        parts.append(decode(twin, states[-1]).cpu())
    return torch.cat(parts)


def guided(twin: Twin, captions: Sequence[str], *, guidance_scale: float) -> Any:
    """The velocity of `(noisy, sigma)` under these captions."""
    embeds, lengths = embed_captions(twin.text_encoder, twin.tokenizer, captions=captions)
    empty, empty_length = embed_captions(twin.text_encoder, twin.tokenizer, captions=[""])

    def velocity(noisy: Tensor, sigma: Tensor) -> Tensor:
        told = batched_velocity(twin.transformer, noisy, sigma=sigma, prompt_embeds=embeds, lengths=lengths)
        if not guidance_scale:
            return told
        untold = batched_velocity(
            twin.transformer,
            noisy,
            sigma=sigma,
            prompt_embeds=empty.expand(len(noisy), -1, -1),
            lengths=empty_length.expand(len(noisy)),
        )
        return told + guidance_scale * (told - untold)

    return velocity


@torch.no_grad()
def decode(twin: Twin, latents: Float[Tensor, " b c h w"]) -> Float[Tensor, " b 3 h2 w2"]:
    """Pictures of latents, in [0, 1]."""
    config = twin.vae.config
    decoded = twin.vae.decode(latents / config.scaling_factor + config.shift_factor).sample
    return (decoded / 2 + 0.5).clamp(0, 1)
