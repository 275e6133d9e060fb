"""How many trials train beside each other on one base, and how the base is held for them.

What is free on a card can go to more trials, or to blocks that keep what their backward pass needs, which saves
computing it again. memory=auto therefore decides both at once, by the trials per hour that the planner predicts.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from omegaconf import OmegaConf

from loralab.denoiser import Denoiser
from loralab.memory import MemoryPolicy, Placement, pick_device
from loralab.memory.plan import Peaks, cards, choose
from loralab.memory.plan.coefficients import measured
from loralab.planning.decide import Decision, budget_of, fixed_of, followed
from loralab.planning.subject import run_of, subject_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from loralab.config import Experiment
    from loralab.memory.plan import Option, Run

WIDTHS = (1, 2, 4, 8, 16)
ON_CPU = 4
"""There a pass of more trials takes as much longer; what packing saves is starting processes and loading the base."""


@dataclass(frozen=True, kw_only=True)
class Packs:
    """Decides on packs of trials, of every width; what it needs of the card and the model is looked up once.

    Attributes:
        config: of any of the trials.
        policy: of the configuration.
        denoiser: of the configuration.
        rank: the largest of any trial.
        targets: all `adapter.targets` of trials.
        device: where they train.
    """

    config: DictConfig
    policy: MemoryPolicy
    denoiser: Denoiser
    rank: int
    targets: Sequence[str]
    device: torch.device

    @classmethod
    def of(cls, experiment: Experiment, config: DictConfig, *, rank: int, targets: Sequence[str]) -> Packs:
        """Takes the rest from what a configuration has built, on the device that it asks for."""
        assert isinstance(experiment.denoiser, Denoiser)
        return cls(
            config=config,
            policy=experiment.memory,
            denoiser=experiment.denoiser,
            rank=rank,
            targets=targets,
            device=pick_device(config.trainer.accelerator),
        )

    def width(self, *, most: int) -> int:
        """Gives how many of `most` trials to train at a time: the narrowest of packs with about the most an hour."""
        if self.device.type != "cuda":
            return min(ON_CPU, most)
        rates = {}
        for width in (width for width in WIDTHS if width <= most):
            found = self._options(width)
            if any(option.peak_gib <= self._budget_gib for option in found):
                rates[width] = width / choose.choose(found, budget_gib=self._budget_gib).taken.step_s
        fast = max(rates.values(), default=0.0) * (1 - choose.AS_FAST)
        return min((width for width, rate in rates.items() if rate >= fast), default=1)

    def decision(self, width: int) -> Decision:
        """Decides how a pack of a width holds its base, as `decided` does for a trial alone, and says so in the log.

        Raises:
            UserError: if nothing fits, with the least that would be needed.
        """
        if self.device.type != "cuda":
            return Decision(self.policy.on(self.device))
        policy = self.policy
        if policy.precision == "auto":
            policy = followed(policy, choose.choose(self._options(width), budget_gib=self._budget_gib))
        placement = policy.on(self.device)
        return Decision(placement, self._train_gib(self._together(width), placement))

    def _options(self, width: int) -> list[Option]:
        """Predicts a pack under every placement that the policy leaves open."""
        together = self._together(width)
        found = choose.options(together, self._run, self._placements, card=self._card)
        return [
            dataclasses.replace(
                option, peak_gib=max(option.peak_gib, self._train_gib(together, option.placement))
            )
            for option in found
        ]

    def _together(self, width: int) -> Peaks:
        """Gives what predicts one trial with the pictures of all."""
        subject = self._alone.subject
        return Peaks(
            dataclasses.replace(subject, micro_batch=width * subject.micro_batch), self._alone.measured
        )

    def _train_gib(self, together: Peaks, placement: Placement) -> float:
        width = together.subject.micro_batch // self._alone.subject.micro_batch
        accumulates = together.subject.accumulated
        step = packed_bytes(together, self._alone, placement=placement, width=width, accumulates=accumulates)
        return max(step, together.load(placement)) / cards.GIB

    @functools.cached_property
    def _alone(self) -> Peaks:
        """Predicts the trial that adapts most."""
        settings = [{"rank": self.rank, "targets": targets} for targets in self.targets]
        ones = [OmegaConf.merge(self.config, {"adapter": each}) for each in settings]
        subjects = [subject_of(one, self.denoiser) for one in ones]  # type: ignore[arg-type]
        return max(subjects, key=lambda subject: subject.num_parameters)

    @functools.cached_property
    def _run(self) -> Run:
        # whoever draws is not packed
        return dataclasses.replace(run_of(self.config, self.denoiser), drawing=None)

    @functools.cached_property
    def _card(self) -> cards.Card:
        self.policy.dtype(self.device)  # refuses a GPU without bf16
        return cards.present(self.device, measured())

    @functools.cached_property
    def _placements(self) -> list[Placement]:
        if self.policy.precision != "auto":
            return [self.policy.on(self.device)]
        return choose.candidates(fixed_of(self.policy), self._card)

    @functools.cached_property
    def _budget_gib(self) -> float:
        return budget_of(self.policy, self.device)


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
