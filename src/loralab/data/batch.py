"""What one micro-step of training receives."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One micro-batch of one bucket.

    Attributes:
        latents: normalised latents, fp32.
        prompt_embeds: one per picture, of its own length, in the precision in which the text encoder ran.
        weight: factor of each picture's loss.
        mask: share of each latent pixel's loss that counts, in [0, 1], or None where everything counts.
        index: number of the micro-step (in validation, of the batch): noise depends on it and the seed alone.
        captions: the prompts as the text encoder read them.
        keys: the pictures' content hashes.
    """

    latents: Float[Tensor, " b c h w"]
    prompt_embeds: list[Float[Tensor, " _ d"]]
    weight: Float[Tensor, " b"]
    mask: Float[Tensor, " b 1 h w"] | None
    index: int
    captions: tuple[str, ...]
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return self.latents.shape[0]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """Gives the batch with its tensors on `device`."""
        return dataclasses.replace(
            self,
            latents=self.latents.to(device, non_blocking=non_blocking),
            prompt_embeds=[embeds.to(device, non_blocking=non_blocking) for embeds in self.prompt_embeds],
            weight=self.weight.to(device, non_blocking=non_blocking),
            mask=None if self.mask is None else self.mask.to(device, non_blocking=non_blocking),
        )
