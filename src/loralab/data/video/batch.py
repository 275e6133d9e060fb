"""What one micro-step of training on clips receives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """One micro-batch of clips of one shape.

    Attributes:
        video: normalised latents, fp32.
        fps: frames per second of each clip.
        audio: normalised latents of the sound, fp32; None where no sound was read.
        video_embeds, audio_embeds: of each prompt, for video and for sound, in the text encoder's precision.
        reference: normalised latents of what is shown beside the clip, or None.
        reference_factors: how many times smaller and slower the reference is (sides, frame rate).
        video_given: share of each video latent that is given and not learned, or None.
        audio_given: the same of each audio latent.
        weight: factor of each clip's loss.
        index: number of the micro-step (in validation, of the batch): randomness depends on it and the seed alone.
        captions: the prompts as the text encoder read them.
        keys: the clips' content hashes.
    """

    video: Float[Tensor, " b c f h w"]
    fps: Float[Tensor, " b"]
    audio: Float[Tensor, " b a t m"] | None = None
    video_embeds: Float[Tensor, " b l d"]
    audio_embeds: Float[Tensor, " b l e"]
    reference: Float[Tensor, " b c g y x"] | None = None
    reference_factors: tuple[int, int] = (1, 1)
    video_given: Float[Tensor, " b f h w"] | None = None
    audio_given: Float[Tensor, " b t"] | None = None
    weight: Float[Tensor, " b"]
    index: int
    captions: tuple[str, ...]
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return self.video.shape[0]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> ClipBatch:
        """Gives the batch with its tensors on `device`."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pinned(self) -> ClipBatch:
        """Gives the batch in page-locked memory, from which a GPU copies while the host goes on."""
        return self._with(Tensor.pin_memory)

    def _with(self, change: Callable[[Tensor], Tensor]) -> ClipBatch:
        changed: dict[str, Any] = {
            name: change(value) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return dataclasses.replace(self, **changed)
