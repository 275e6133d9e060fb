"""The optimizers of both stages: the first's is the run's own choice, the second's and the fake network's are AdamW.

The second stage starts without the moments of the first, which were taken on another network, at its own rate on half a
cosine down to a tenth. Its first beta is 0: momentum overshoots against a network that is trained against the student.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from loralab.errors import UserError
from loralab.objectives.objective import OptimizerFactory, ScheduleFactory
from loralab.optim import Schedule

if TYPE_CHECKING:
    from loralab.objectives.distribution.recipe import DistributionMatching

RATE_SHARE = 0.3
"""Rate of the second stage's student in that of the first, and of the fake network's."""
LAST_SHARE = 0.1


class Optimizers:
    """Makes the student's optimizer of a stage, and holds the fake network's."""

    def __init__(
        self,
        settings: DistributionMatching,
        *,
        student: list[nn.Parameter],
        fake: list[nn.Parameter],
        first: OptimizerFactory,
        schedule: ScheduleFactory,
        num_steps: tuple[int, int],
    ) -> None:
        """Takes the parameters of both networks and how the first stage trains; `num_steps` are the stages'."""
        self._student, self._first, self._schedule = student, first, schedule
        self._num_steps, self._betas = num_steps, settings.stage2.betas
        self._rate = self._second_rate(settings) if num_steps[1] else 0.0
        self._loaded: dict[str, Any] | None = None
        self.schedule: LRScheduler
        fake_rate = settings.fake.lr or self._rate / RATE_SHARE
        self.fake = _adamw(fake, lr=fake_rate, betas=settings.fake.betas) if fake else None

    def begin(self, stage: int) -> Optimizer:
        """Gives a new optimizer for the student and sets `schedule`, which goes on where a checkpoint left it."""
        if stage == 1:
            optimizer = self._first(self._student)
            self.schedule = self._schedule(optimizer, num_steps=self._num_steps[0])
        else:
            optimizer = _adamw(self._student, lr=self._rate, betas=self._betas)
            falling = Schedule(decay="cosine", final_fraction=LAST_SHARE)
            self.schedule = falling(optimizer, num_steps=self._num_steps[1])
        if self._loaded is not None:
            self.schedule.load_state_dict(self._loaded["schedule"])
            self._loaded = None
        return optimizer

    def state_dict(self) -> dict[str, Any]:
        """Gives what the trainer does not keep: it keeps the student's optimizer."""
        schedule = {key: value for key, value in self.schedule.state_dict().items() if key != "lr_lambdas"}
        return {"schedule": schedule, "fake": None if self.fake is None else self.fake.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes the fake network's optimizer up at once, the schedule at the next `begin`."""
        if self.fake is not None:
            self.fake.load_state_dict(state["fake"])
        self._loaded = {"schedule": state["schedule"] | {"lr_lambdas": [None]}}

    def _second_rate(self, settings: DistributionMatching) -> float:
        if settings.stage2.lr is not None:
            return settings.stage2.lr
        group = self._first(self._student).param_groups[0]
        if "d" in group:
            raise UserError(
                f"objective.stage2.lr must be given: optimizer.lr={group['lr']} is a factor on a rate that the "
                "optimizer finds itself; 3e-5 is usual. objective.preset=adapter has no second stage, which asks for it"
            )
        return RATE_SHARE * float(group["lr"])


def _adamw(parameters: list[nn.Parameter], *, lr: float, betas: Sequence[float]) -> AdamW:
    """Fused, and without decay of the weights: an adapter is short anyway."""
    return torch.optim.AdamW(parameters, lr=lr, betas=(betas[0], betas[1]), weight_decay=0.0, fused=True)
