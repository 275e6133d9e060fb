"""What one micro-step of training receives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class AnyBatch(Protocol):
    """What a run does with a batch, whatever it is of."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Any:
        """Gives the batch with its tensors on `device`."""
        ...

    def pinned(self) -> Any:
        """Gives the batch in page-locked memory."""
        ...


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One micro-batch of one bucket.

    Attributes:
        latents: normalised latents, fp32.
        prompt_embeds: one per picture, in the precision in which the text encoder ran; stacked where all are of one
            length.
        weight: factor of each picture's loss.
        mask: share of each latent pixel's loss that counts, in [0, 1], or None where everything counts.
        index: number of the micro-step (in validation, of the batch): noise depends on it and the seed alone.
        captions: the prompts as the text encoder read them.
        keys: the pictures' content hashes.
    """

    latents: Float[Tensor, " b c h w"]
    prompt_embeds: list[Float[Tensor, " _ d"]] | Float[Tensor, " b l d"]
    weight: Float[Tensor, " b"]
    mask: Float[Tensor, " b 1 h w"] | None
    index: int
    captions: tuple[str, ...]
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return self.latents.shape[0]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """Gives the batch with its tensors on `device`."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pinned(self) -> Batch:
        """Gives the batch in page-locked memory, from which a GPU copies while the host goes on."""
        return self._with(Tensor.pin_memory)

    def _with(self, change: Callable[[Tensor], Tensor]) -> Batch:
        embeds = self.prompt_embeds
        return dataclasses.replace(
            self,
            latents=change(self.latents),
            prompt_embeds=change(embeds) if isinstance(embeds, Tensor) else [change(one) for one in embeds],
            weight=change(self.weight),
            mask=None if self.mask is None else change(self.mask),
        )
