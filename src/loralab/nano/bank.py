"""All pictures that the base may see, as latents and tokens in memory, and the draw of a training batch from them.

A draw first chooses how many attributes differ from their default (weights below), then a picture with that many.
One caption in seven gets a reserved word that changes nothing; one in ten is emptied, for guidance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from loralab.data.emoji.atlas import names
from loralab.data.emoji.spec import EmojiSpec, is_seen, variations
from loralab.nano.latents import encode, normalised
from loralab.nano.words import MAX_SEQUENCE_LENGTH, RESERVED

CHANGED_WEIGHTS = (0.46, 0.36, 0.13, 0.04, 0.01)
RESERVED_SHARE, EMPTY_SHARE = 0.15, 0.10


@dataclasses.dataclass(frozen=True)
class TextBatch:
    """Right-padded tokens and the mask of the real ones."""

    tokens: Int[Tensor, " b l"]
    mask: Int[Tensor, " b l"]

    def to(self, device: torch.device) -> TextBatch:
        """The same on `device`."""
        return TextBatch(self.tokens.to(device), self.mask.to(device))


@dataclasses.dataclass(frozen=True)
class Bank:
    """Latents `[n, tokens, channels]` (normalised) with the tokens of each caption and the weight of each picture."""

    latents: Float[Tensor, " n t c"]
    tokens: tuple[tuple[int, ...], ...]
    weights: Float[Tensor, " n"]
    reserved: tuple[int, ...]
    comma: int
    empty: tuple[int, ...]

    def draw(self, batch_size: int, *, rng: np.random.Generator) -> tuple[Float[Tensor, " b t c"], TextBatch]:
        """A random batch: latents and captions."""
        chosen = rng.choice(len(self.tokens), batch_size, p=self.weights.numpy())
        captions = [self._caption(self.tokens[index], rng) for index in chosen]
        return self.latents[torch.from_numpy(chosen)], pad(captions)

    def _caption(self, tokens: tuple[int, ...], rng: np.random.Generator) -> tuple[int, ...]:
        kind = rng.random()
        if kind < EMPTY_SHARE:
            return self.empty
        if kind < EMPTY_SHARE + RESERVED_SHARE:
            word = self.reserved[rng.integers(len(self.reserved))]
            return (word, self.comma, *tokens) if rng.random() < 0.7 else (*tokens, self.comma, word)
        return tokens


def pad(captions: Sequence[tuple[int, ...]]) -> TextBatch:
    """Captions as one right-padded batch; the padding token is 0."""
    tokens = torch.zeros(len(captions), MAX_SEQUENCE_LENGTH, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    for row, caption in enumerate(captions):
        tokens[row, : len(caption)] = torch.tensor(caption)
        mask[row, : len(caption)] = 1
    return TextBatch(tokens, mask)


def seen_specs() -> list[EmojiSpec]:
    """Every picture of the base's training set."""
    return [spec for name in names() for spec in variations(name) if is_seen(spec)]


def build_bank(vae: Any, tokenizer: Any, *, specs: Sequence[EmojiSpec]) -> Bank:
    """The bank of these pictures under this VAE and tokenizer."""
    latents = normalised(vae, encode(vae, specs)).flatten(2).transpose(1, 2).contiguous()
    tokens = tokenizer([f" {spec.caption}" for spec in specs])["input_ids"]
    count = np.array([len(spec.changed) for spec in specs])
    share = np.array(CHANGED_WEIGHTS)[count] / np.bincount(count)[count]
    return Bank(
        latents=latents,
        tokens=tuple(tuple(row) for row in tokens),
        weights=torch.from_numpy(share / share.sum()),
        reserved=tuple(token for (token,) in tokenizer([f" {word}" for word in RESERVED])["input_ids"]),
        comma=tokenizer(",")["input_ids"][0],
        empty=tuple(tokenizer(" ")["input_ids"]),
    )
