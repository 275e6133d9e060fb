"""Pictures that their captions leave open, as latents and prompt embeddings on one device; a draw is two look-ups.

Row 0 of the prompts is the empty caption: 10 % of a batch gets it, for guidance. 3 % of the captions carry a reserved
word that changes nothing; more of them, and an adapter would learn slowly to give it a meaning.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from loralab.data.emoji.varied import VariedEmoji, draw_varied, render_varied
from loralab.nano.bank import pad
from loralab.nano.words import RESERVED
from loralab.nano.zimage_parts import embed

EMPTY_SHARE, RESERVED_SHARE, LEADING_SHARE = 0.10, 0.03, 0.7
CHUNK, PER_WORKER = 512, 2048


@dataclasses.dataclass(frozen=True)
class Batch:
    """What a step is given: latents and their prompts, right-padded."""

    latents: Float[Tensor, " b c h w"]
    prompt_embeds: Float[Tensor, " b l d"]
    lengths: Int[Tensor, " b"]


@dataclasses.dataclass(frozen=True)
class VariedBank:
    """Latents `[n, c, h, w]`, the row of each in the prompts `[m, l, d]`, and the prompts' lengths."""

    latents: Float[Tensor, " n c h w"]
    rows: Int[Tensor, " n"]
    prompt_embeds: Float[Tensor, " m l d"]
    lengths: Int[Tensor, " m"]

    def draw(self, batch_size: int, *, generator: torch.Generator) -> Batch:
        """A random batch, without the host waiting for the device."""
        device = self.latents.device
        chosen = torch.randint(len(self.latents), (batch_size,), generator=generator, device=device)
        emptied = torch.rand(batch_size, generator=generator, device=device) < EMPTY_SHARE
        rows = torch.where(emptied, 0, self.rows[chosen])
        return Batch(self.latents[chosen], self.prompt_embeds[rows], self.lengths[rows])


def build_bank(
    vae: Any, text_encoder: Any, tokenizer: Any, *, num_pictures: int, seed: int, device: torch.device
) -> VariedBank:
    """The bank of the first `num_pictures` pictures of `seed`; the networks are moved to `device`."""
    shown = [draw_varied(seed, index=index) for index in range(num_pictures)]
    captions = ["", *_with_reserved(shown, seed=seed)]
    unique = {caption: row for row, caption in enumerate(dict.fromkeys(captions))}
    embeds, lengths = embed_captions(text_encoder.to(device), tokenizer, captions=list(unique))
    return VariedBank(
        latents=encode_pixels(vae.to(device), pictures(shown)),
        rows=torch.tensor([unique[caption] for caption in captions[1:]], device=device),
        prompt_embeds=embeds,
        lengths=lengths,
    )


@torch.no_grad()
def embed_captions(
    text_encoder: Any, tokenizer: Any, *, captions: Sequence[str]
) -> tuple[Float[Tensor, " m l d"], Int[Tensor, " m"]]:
    """Prompt embeddings of captions, right-padded to 16 tokens, and their lengths, on the encoder's device."""
    device = text_encoder.embed_tokens.weight.device
    text = pad([tuple(row) for row in tokenizer([f" {caption}" for caption in captions])["input_ids"]])
    chunks = text.tokens.split(CHUNK)
    return torch.cat([embed(text_encoder, chunk.to(device)) for chunk in chunks]), text.mask.sum(1).to(device)


def pictures(chosen: Sequence[VariedEmoji]) -> UInt8[Tensor, " n h w 3"]:
    """The renders, drawn by as many processes as there is work for."""
    workers = min(os.cpu_count() or 1, len(chosen) // PER_WORKER)
    if workers < 2:
        return torch.from_numpy(np.stack([render_varied(picture) for picture in chosen]))
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return torch.from_numpy(np.stack(list(pool.map(render_varied, chosen, chunksize=256))))


@torch.no_grad()
def encode_pixels(vae: Any, shown: UInt8[Tensor, " n h w 3"]) -> Float[Tensor, " n c h2 w2"]:
    """Latents of pictures (the posterior's mean), normalised as the pipeline does, on the VAE's device."""
    config, device = vae.config, next(vae.parameters()).device
    modes = [vae.encode(to_unit(chunk.to(device))).latent_dist.mode() for chunk in shown.split(CHUNK)]
    return (torch.cat(modes) - config.shift_factor) * config.scaling_factor


def to_unit(shown: UInt8[Tensor, " n h w 3"]) -> Float[Tensor, " n 3 h w"]:
    """Pictures in [-1, 1]."""
    return shown.permute(0, 3, 1, 2).float() / 127.5 - 1


def _with_reserved(shown: Sequence[VariedEmoji], *, seed: int) -> list[str]:
    """The captions, a few of them with a reserved word before or behind."""
    rng = np.random.default_rng([seed, len(shown)])
    captions = []
    for picture in shown:
        word, caption = RESERVED[rng.integers(len(RESERVED))], picture.caption
        chance, leads = rng.random(), rng.random() < LEADING_SHARE
        if chance < RESERVED_SHARE:
            caption = f"{word}, {caption}" if leads else f"{caption}, {word}"
        captions.append(caption)
    return captions
