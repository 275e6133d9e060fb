"""Clips that the base may see, as latents and states of the text encoder on one device; a draw is two look-ups.

Row 0 of the prompts is the empty caption: 10 % of a batch gets it, for guidance. 4 % of the captions carry a reserved
word that changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from loralab.data.moving.frames import draw_clips
from loralab.data.moving.scene import Scene, draw_scene
from loralab.data.moving.sound import draw_sounds
from loralab.nano.ltx.parts import MAX_LENGTH
from loralab.nano.ltx.sound import spectrograms
from loralab.nano.ltx.velocity import packed, packed_sound
from loralab.nano.ltx.words import RESERVED

EMPTY_SHARE, RESERVED_SHARE = 0.10, 0.04
CLIPS_CHUNK, TEXT_CHUNK, TOLD_EVERY = 64, 4096, 4096


@dataclasses.dataclass(frozen=True)
class Batch:
    """What a step is given: tokens of both modalities, the text encoder's states of every layer, which are real."""

    video: Float[Tensor, " b n c"]
    audio: Float[Tensor, " b t d"]
    states: Float[Tensor, " b l width layers"]
    mask: Int[Tensor, " b l"]


@dataclasses.dataclass(frozen=True)
class MovingBank:
    """Tokens of n clips, the row of each in the m prompts, and the prompts' states."""

    video: Float[Tensor, " n v c"]
    audio: Float[Tensor, " n t d"]
    rows: Int[Tensor, " n"]
    states: Float[Tensor, " m l width layers"]
    mask: Int[Tensor, " m l"]

    def draw(self, batch_size: int, *, generator: torch.Generator) -> Batch:
        """A random batch, without the host waiting for the device."""
        device = self.video.device
        chosen = torch.randint(len(self.video), (batch_size,), generator=generator, device=device)
        emptied = torch.rand(batch_size, generator=generator, device=device) < EMPTY_SHARE
        rows = torch.where(emptied, 0, self.rows[chosen])
        return Batch(
            self.video[chosen].float(), self.audio[chosen].float(), self.states[rows].float(), self.mask[rows]
        )


def build_bank(
    video_vae: Any,
    audio_vae: Any,
    gemma: Any,
    tokenizer: Any,
    *,
    num_clips: int,
    seed: int,
    device: torch.device,
) -> MovingBank:
    """The bank of the first `num_clips` clips of `seed`; the networks are moved to `device`."""
    scenes = [draw_scene(seed, index=index) for index in range(num_clips)]
    captions = ["", *_with_reserved(scenes, seed=seed)]
    unique = {caption: row for row, caption in enumerate(dict.fromkeys(captions))}
    states, mask = read_captions(gemma.to(device), tokenizer, captions=list(unique))
    video_vae, audio_vae, parts = video_vae.to(device), audio_vae.to(device), []
    for start in range(0, num_clips, CLIPS_CHUNK):
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            parts.append(encode_scenes(video_vae, audio_vae, scenes[start : start + CLIPS_CHUNK]))
        if start % TOLD_EVERY == 0:
            print(f"{min(start + CLIPS_CHUNK, num_clips)} of {num_clips} clips encoded", flush=True)
    video, audio = zip(*parts, strict=True)
    return MovingBank(
        video=torch.cat(video).bfloat16(),
        audio=torch.cat(audio).bfloat16(),
        rows=torch.tensor([unique[caption] for caption in captions[1:]], device=device),
        states=states.bfloat16(),
        mask=mask,
    )


@torch.no_grad()
def encode_scenes(
    video_vae: Any, audio_vae: Any, scenes: Sequence[Scene]
) -> tuple[Float[Tensor, " b n c"], Float[Tensor, " b t d"]]:
    """Tokens of scenes, normalised as the family does, on the VAEs' device."""
    device = next(video_vae.parameters()).device
    seen = video_vae.encode(draw_clips(scenes, device=device).pixels).latent_dist.mode().float()
    with torch.autocast(device.type, enabled=False):
        mels = spectrograms(draw_sounds(scenes, device=device))
    heard = audio_vae.encode(mels).latent_dist.mode().float()
    mean, std = (part.view(-1, 1, 1, 1) for part in (video_vae.latents_mean, video_vae.latents_std))
    video, audio = packed((seen - mean) / std), packed_sound(heard)
    return video, (audio - audio_vae.latents_mean) / audio_vae.latents_std


@torch.no_grad()
def read_captions(
    gemma: Any, tokenizer: Any, *, captions: Sequence[str]
) -> tuple[Float[Tensor, " m l width layers"], Int[Tensor, " m l"]]:
    """States of every layer for captions padded on the left to 32 tokens, and which tokens are real."""
    device = gemma.embed_tokens.weight.device
    told = tokenizer(
        list(captions), padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt"
    )
    ids, mask = told["input_ids"].to(device), told["attention_mask"].to(device)
    states = [
        torch.stack(
            gemma(
                input_ids=part, attention_mask=real, output_hidden_states=True, use_cache=False
            ).hidden_states,
            -1,
        )
        for part, real in zip(ids.split(TEXT_CHUNK), mask.split(TEXT_CHUNK), strict=True)
    ]
    return torch.cat(states), mask


def _with_reserved(scenes: Sequence[Scene], *, seed: int) -> list[str]:
    rng = np.random.default_rng([seed, len(scenes)])
    captions = []
    for scene in scenes:
        word, chance = RESERVED[rng.integers(len(RESERVED))], rng.random()
        captions.append(f"{word}, {scene.caption}" if chance < RESERVED_SHARE else scene.caption)
    return captions
