"""The noise levels that a checkpoint is drawn at: a list of its own if it is distilled, else its scheduler's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.denoiser import ClipSampling
from loralab.errors import UserError
from loralab.families.shared.schedule import pipeline_sigmas


def checkpoint_sigmas(
    sampling: ClipSampling, scheduler: Mapping[str, Any], *, num_steps: int, num_tokens: int
) -> Float[Tensor, " num_steps_plus_1"]:
    """Gives sigmas from 1 down to 0.

    Args:
        sampling: of the checkpoint; its own list of sigmas comes first.
        scheduler: the checkpoint's config of it.
        num_steps: solver steps.
        num_tokens: of the clip, by which a base's scheduler shifts (LTX2Pipeline).

    Raises:
        UserError: if a checkpoint with a list of its own shall take another number of steps.
    """
    if sampling.sigmas is not None:
        if num_steps != len(sampling.sigmas) - 1:
            raise UserError(
                f"num_steps={num_steps}: this checkpoint is distilled to {len(sampling.sigmas) - 1} noise levels of its"
                f" own. Set num_steps={len(sampling.sigmas) - 1}."
            )
        return torch.tensor(list(sampling.sigmas))
    return pipeline_sigmas(scheduler, num_steps=num_steps, mu=_mu(scheduler, num_tokens=num_tokens))


def _mu(scheduler: Mapping[str, Any], *, num_tokens: int) -> float:
    """Gives LTX2Pipeline's mu, a line through two points that is not clamped; defaults are the pipeline's."""
    low, high = scheduler.get("base_image_seq_len", 1024), scheduler.get("max_image_seq_len", 4096)
    base, largest = scheduler.get("base_shift", 0.95), scheduler.get("max_shift", 2.05)
    return float(base + (largest - base) * (num_tokens - low) / (high - low))
