"""The nano LTX-Video at work: captions to clips with sound, in whole batches, with Euler's method on a plain grid.

    sigma_k = 1 - k / n,       velocity = untold + guidance_scale (told - untold)

The adapter that is asked about sits in the transformer already. A control is a reference at half the clip's size.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from loralab.errors import UserError
from loralab.nano.fit import best_device
from loralab.nano.ltx.bank import read_captions
from loralab.nano.ltx.parts import AUDIO_CHANNELS, LATENT_CHANNELS, MEL_BINS
from loralab.nano.ltx.velocity import NUM_TOKENS, Pair, packed, unpacked, unpacked_sound, velocities

NUM_STEPS, GUIDANCE_SCALE, BATCH_SIZE, AUDIO_TOKENS = 24, 3.0, 64, 36
AUDIO_WIDTH = AUDIO_CHANNELS * MEL_BINS // 4
PARTS = ("transformer", "connectors", "text_encoder", "vae", "audio_vae", "vocoder")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Twin:
    """The parts of a nano LTX-Video folder in fp32 on one device."""

    transformer: Any
    connectors: Any
    text_encoder: Any
    tokenizer: Any
    vae: Any
    audio_vae: Any
    vocoder: Any

    @property
    def device(self) -> torch.device:
        """Where the parts are."""
        device: torch.device = self.vae.device
        return device


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Clips on the CPU: pixels of 0 to 255, and stereo sound at 16 kHz."""

    pixels: UInt8[Tensor, " b f h w 3"]
    sound: Float[Tensor, " b 2 samples"]


def load_twin(folder: Path, *, device: torch.device | None = None) -> Twin:
    """The parts of a diffusers folder, frozen, on `device` or the best one here.

    Raises:
        UserError: if it is not there, naming the command that writes it.
    """
    from diffusers import LTX2Pipeline

    if not (folder / "model_index.json").is_file():
        raise UserError(
            f"--folder {folder} holds no pipeline: `python -m loralab.nano export_ltx --out <folder of states>`"
            " writes one, once the trainings of docs/nano_ltx.md are done."
        )

    pipeline = LTX2Pipeline.from_pretrained(folder, use_safetensors=True)
    parts = {
        name: getattr(pipeline, name).float().eval().requires_grad_(False).to(device or best_device())
        for name in PARTS
    }
    return Twin(tokenizer=pipeline.tokenizer, **parts)


@torch.no_grad()
def draw(
    twin: Twin,
    captions: Sequence[str],
    *,
    controls: UInt8[Tensor, " b f y x 3"] | None = None,
    num_steps: int = NUM_STEPS,
    guidance_scale: float = GUIDANCE_SCALE,
    seed: int = 0,
) -> Drawn:
    """Clips of captions; `controls` are references at half size."""
    generator = torch.Generator().manual_seed(seed)
    noises = [
        torch.randn(len(captions), count, width, generator=generator)
        for count, width in ((NUM_TOKENS, LATENT_CHANNELS), (AUDIO_TOKENS, AUDIO_WIDTH))
    ]
    parts = []
    for start in range(0, len(captions), BATCH_SIZE):
        rows = slice(start, start + BATCH_SIZE)
        control = None if controls is None else encoded(twin, controls[rows])
        tokens = _sampled(
            twin,
            captions[rows],
            Pair(*(noise[rows].to(twin.device) for noise in noises)),
            control=control,
            sigmas=torch.linspace(1, 0, num_steps + 1).tolist(),
            guidance_scale=guidance_scale,
        )
        parts.append(decode(twin, *tokens))
    return Drawn(torch.cat([part.pixels for part in parts]), torch.cat([part.sound for part in parts]))


@torch.no_grad()
def encoded(twin: Twin, pixels: UInt8[Tensor, " b f h w 3"]) -> Float[Tensor, " b n c"]:
    """Normalised tokens of videos, on the twin's device."""
    seen = pixels.to(twin.device).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    mean, std = (part.view(-1, 1, 1, 1) for part in (twin.vae.latents_mean, twin.vae.latents_std))
    return packed((twin.vae.encode(seen).latent_dist.mode() - mean) / std)


@torch.no_grad()
def decode(twin: Twin, video: Float[Tensor, " b n c"], audio: Float[Tensor, " b t d"]) -> Drawn:
    """Clips of tokens, on the CPU."""
    vae, audio_vae = twin.vae, twin.audio_vae
    mean, std = (part.view(-1, 1, 1, 1) for part in (vae.latents_mean, vae.latents_std))
    latents = unpacked(video) * std + mean
    pixels = torch.cat([vae.decode(part).sample for part in latents.split(16)])
    heard = unpacked_sound(audio * audio_vae.latents_std + audio_vae.latents_mean, channels=AUDIO_CHANNELS)
    sound = twin.vocoder(audio_vae.decode(heard).sample)
    pixels = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1)
    return Drawn(pixels.cpu(), sound.float().cpu())


def _sampled(
    twin: Twin,
    captions: Sequence[str],
    noises: Pair,
    *,
    control: Float[Tensor, " b m c"] | None,
    sigmas: list[float],
    guidance_scale: float,
) -> Pair:
    told = _prompts(twin, captions)
    untold = Pair(*(part.expand(len(captions), -1, -1) for part in _prompts(twin, [""])))
    tokens = noises
    for sigma, next_sigma in itertools.pairwise(sigmas):
        level = torch.full((len(captions),), sigma, device=twin.device)
        settings: dict[str, Any] = {"sigmas": Pair(level, level), "control": control}
        answer = velocities(twin.transformer, tokens, prompts=told, **settings)
        if guidance_scale != 1:
            without = velocities(twin.transformer, tokens, prompts=untold, **settings)
            answer = Pair(*(torch.lerp(*pair, guidance_scale) for pair in zip(without, answer, strict=True)))
        tokens = Pair(*(part + (next_sigma - sigma) * v for part, v in zip(tokens, answer, strict=True)))
    return tokens


def _prompts(twin: Twin, captions: Sequence[str]) -> Pair:
    states, mask = read_captions(twin.text_encoder, twin.tokenizer, captions=captions)
    return Pair(*twin.connectors(states, mask, padding_side="left")[:2])
