"""How many trials fit beside each other on one base."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from omegaconf import OmegaConf

from loralab.memory import MemoryPolicy, Placement
from loralab.memory.plan import cards
from loralab.planning.decide import decided
from loralab.planning.subject import subject_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from loralab.denoiser import Denoiser
    from loralab.memory.plan import Peaks

WIDTHS = (16, 8, 4, 2)
ON_CPU = 4
"""There a pass of more trials takes as much longer; what packing saves is starting processes and loading the base."""


def pack_width(
    config: DictConfig,
    policy: MemoryPolicy,
    denoiser: Denoiser,
    *,
    rank: int,
    device: torch.device,
    most: int,
) -> int:
    """Gives how many trials to train at a time: the widest pack that fits, at most `most`.

    Args:
        config: of any of the trials.
        policy: of the configuration.
        denoiser: of the configuration.
        rank: the largest of any trial.
        device: where they train.
        most: trials that there are.
    """
    if device.type != "cuda":
        return min(ON_CPU, most)
    placement = decided(config, policy, denoiser, device=device, once=False).placement
    budget = (policy.budget_gib or cards.free_gib(device)) * cards.GIB
    one = OmegaConf.merge(config, {"adapter": {"rank": rank}})
    alone = subject_of(one, denoiser)  # type: ignore[arg-type]
    accumulates = config.batch_size > config.micro_batch_size
    for width in WIDTHS:
        if width <= most:
            sizes = {
                "micro_batch_size": width * config.micro_batch_size,
                "batch_size": width * config.batch_size,
            }
            together = subject_of(OmegaConf.merge(one, sizes), denoiser)  # type: ignore[arg-type]
            if (
                packed_bytes(together, alone, placement=placement, width=width, accumulates=accumulates)
                <= budget
            ):
                return width
    return 1


def packed_bytes(
    together: Peaks, one: Peaks, *, placement: Placement, width: int, accumulates: bool
) -> float:
    """Predicts the bytes of a packed step from those of one trial, with all pictures and with its own.

    Of every other trial there are weights and optimizer state in fp32, and weights in the packed layers, in the
    precision in which these compute. At the end of the backward pass the activations are gone and the gradients of
    both are there; where they are accumulated, they always are.
    """
    gradients, layers = 4 * one.num_parameters, placement.dtype.itemsize * one.num_parameters
    kept = one.trained_bytes() + (gradients if accumulates else 0)
    before = together.step(placement) + (width - 1) * kept + width * layers
    after = one.step(placement) + (width - 1) * (one.trained_bytes() + gradients) + 2 * width * layers
    return max(before, after)
