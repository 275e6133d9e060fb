"""What one update of a distillation is given: captions as embeddings, and random numbers that resuming repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from loralab.flow.noise import generator


class Text(NamedTuple):
    """Right-padded embeddings of captions and how many tokens of each are real."""

    embeds: Float[Tensor, " b l d"]
    lengths: Int[Tensor, " b"]

    def rows(self, index: Int[Tensor, " n"]) -> Text:
        """Some of the captions, by number."""
        index = index.to(self.lengths.device, non_blocking=True)
        return Text(self.embeds[index], self.lengths[index])

    def repeated(self, count: int) -> Text:
        """One caption `count` times."""
        return Text(self.embeds.expand(count, -1, -1), self.lengths.expand(count))


class Draws:
    """The random numbers of one update, a function of (seed, stream, index) on one kind of device."""

    def __init__(self, *, seed: int, stream: str, index: int, device: torch.device) -> None:
        self.host = generator(seed=seed, stream=stream, index=index)
        self.source = torch.Generator(device).manual_seed(self.host.initial_seed())

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Noise, drawn on the device: on the CPU it would take longer than the networks do."""
        return torch.randn(tuple(shape), generator=self.source, device=self.source.device)

    def uniform(self, count: int, *, low: float = 0.0, high: float = 1.0) -> Float[Tensor, " b"]:
        """Numbers between low and high, on the CPU."""
        return low + (high - low) * torch.rand(count, generator=self.host)

    def index(self, count: int, *, below: int) -> Int[Tensor, " b"]:
        """Whole numbers from 0, on the CPU."""
        return torch.randint(below, (count,), generator=self.host)
