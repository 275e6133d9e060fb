"""How many trials train beside each other on one base, and how the base is held for them.

What is free on a card can go to more trials, or to blocks that keep what their backward pass needs, which saves
computing it again. memory=auto therefore decides both at once, by the trials per hour that the planner predicts.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from omegaconf import OmegaConf

from loralab.memory import MemoryPolicy, Placement
from loralab.memory.plan import Peaks, cards, choose
from loralab.memory.plan.coefficients import measured
from loralab.memory.plan.text import remarks
from loralab.planning.decide import Decision, fixed_of, settled
from loralab.planning.subject import run_of, subject_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from loralab.denoiser import Denoiser
    from loralab.memory.plan import Option

log = logging.getLogger("loralab")
WIDTHS = (1, 2, 4, 8, 16)
ON_CPU = 4
"""There a pass of more trials takes as much longer; what packing saves is starting processes and loading the base."""


def pack_width(
    config: DictConfig,
    policy: MemoryPolicy,
    denoiser: Denoiser,
    *,
    rank: int,
    targets: Sequence[str],
    device: torch.device,
    most: int,
) -> int:
    """Gives how many trials to train at a time: the narrowest pack of those with about the most trials per hour.

    Args:
        config: of any of the trials.
        policy: of the configuration.
        denoiser: of the configuration.
        rank: the largest of any trial.
        targets: all `adapter.targets` of trials.
        device: where they train.
        most: trials that there are.
    """
    if device.type != "cuda":
        return min(ON_CPU, most)
    packs = _Packs(config, policy, denoiser, rank=rank, targets=targets, device=device)
    rates = {}
    for width in WIDTHS:
        found = packs.options(width) if width <= most else []
        if any(option.peak_gib <= packs.budget_gib for option in found):
            rates[width] = width / choose.choose(found, budget_gib=packs.budget_gib).taken.step_s
    fast = max(rates.values(), default=0.0) * (1 - choose.AS_FAST)
    return min((width for width, rate in rates.items() if rate >= fast), default=1)


def pack_decision(
    config: DictConfig,
    policy: MemoryPolicy,
    denoiser: Denoiser,
    *,
    rank: int,
    targets: Sequence[str],
    width: int,
    device: torch.device,
) -> Decision:
    """Decides how a pack of a width holds its base, as `decided` does for a trial alone, and says so in the log.

    Args:
        config: of any of the trials.
        policy: of the configuration.
        denoiser: of the configuration.
        rank: the largest of any trial.
        targets: all `adapter.targets` of trials.
        width: trials at a time.
        device: where they train.

    Raises:
        UserError: if nothing fits, with the least that would be needed.
    """
    if device.type != "cuda":
        return Decision(policy.on(device))
    packs = _Packs(config, policy, denoiser, rank=rank, targets=targets, device=device)
    if policy.precision == "auto":
        choice = choose.choose(packs.options(width), budget_gib=packs.budget_gib)
        for line in remarks(choice):
            log.info("memory: %s", line)
        policy = settled(policy, choice.taken)
    placement = policy.on(device)
    return Decision(placement, packs.train_gib(packs.together(width), placement))


class _Packs:
    """Predicts packs of every width under every placement that a policy leaves open."""

    def __init__(
        self,
        config: DictConfig,
        policy: MemoryPolicy,
        denoiser: Denoiser,
        *,
        rank: int,
        targets: Sequence[str],
        device: torch.device,
    ) -> None:
        policy.dtype(device)  # refuses a GPU without bf16
        ones = [OmegaConf.merge(config, {"adapter": {"rank": rank, "targets": each}}) for each in targets]
        subjects = [subject_of(one, denoiser) for one in ones]  # type: ignore[arg-type]
        self._alone = max(subjects, key=lambda subject: subject.num_parameters)
        self._run = dataclasses.replace(run_of(config, denoiser), drawing=None)  # whoever draws is not packed
        self._card = cards.present(device, measured())
        self._placements = [policy.on(device)]
        if policy.precision == "auto":
            self._placements = choose.candidates(fixed_of(policy), self._card)
        self.budget_gib = policy.budget_gib or cards.free_gib(device)

    def together(self, width: int) -> Peaks:
        """Gives what predicts one trial with the pictures of all."""
        subject = self._alone.subject
        return Peaks(
            dataclasses.replace(subject, micro_batch=width * subject.micro_batch), self._alone.measured
        )

    def options(self, width: int) -> list[Option]:
        """Predicts every placement."""
        together = self.together(width)
        found = choose.options(together, self._run, self._placements, card=self._card)
        return [
            dataclasses.replace(
                option, peak_gib=max(option.peak_gib, self.train_gib(together, option.placement))
            )
            for option in found
        ]

    def train_gib(self, together: Peaks, placement: Placement) -> float:
        """Predicts the peak of training."""
        width = together.subject.micro_batch // self._alone.subject.micro_batch
        accumulates = together.subject.accumulated
        step = packed_bytes(together, self._alone, placement=placement, width=width, accumulates=accumulates)
        return max(step, together.load(placement)) / cards.GIB


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
