"""Learning rates over steps: the factor on `optimizer.lr` at every optimizer step.

    factor = (step + 1) / warmup_steps                                 while step < warmup_steps
           = final_fraction + (1 - final_fraction) * decay(done)       afterwards
    done   = (step - warmup_steps) / (num_steps - warmup_steps)        in [0, 1)
    decay  = 1, 1 - done, or (1 + cos(pi * done)) / 2                  (arXiv:1608.03983, equation 5, without restarts)

`step` counts finished updates, so the first one already moves and the last one still does. The factor depends on
(step, num_steps) alone: resuming needs nothing but the step. Prodigy estimates its own rate from the way travelled;
with a warm-up it wants `optimizer.safeguard_warmup=true`, which keeps the small factors out of that estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from loralab.errors import UserError

DECAYS: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: (1.0 + math.cos(math.pi * done)) / 2.0,
}


@dataclass(frozen=True)
class Schedule:
    """The factor on the learning rate at each step: a rise, then a decay.

    Attributes:
        decay: constant, linear or cosine: the form of the fall after the warm-up.
        warmup_steps: steps of the linear rise; 0 starts at the full rate.
        final_fraction: where the fall would arrive after the last step, as a share of the full rate.
    """

    decay: str
    warmup_steps: int = 0
    final_fraction: float = 0.0

    def __post_init__(self) -> None:
        if self.decay not in DECAYS:
            raise UserError(f"schedule.decay={self.decay} is unknown; choose one of {', '.join(DECAYS)}")
        if self.warmup_steps < 0:
            raise UserError(f"schedule.warmup_steps={self.warmup_steps} must be at least 0")
        if not 0 <= self.final_fraction <= 1:
            raise UserError(f"schedule.final_fraction={self.final_fraction} must lie in [0, 1]")
        if self.decay == "constant" and self.final_fraction != 0:
            raise UserError(
                f"schedule.final_fraction={self.final_fraction} has no effect on a constant rate; "
                "choose schedule=linear or schedule=cosine"
            )

    def factor(self, step: int, *, num_steps: int) -> float:
        """Gives the factor for the update that follows `step` finished ones."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        done = min((step - self.warmup_steps) / (num_steps - self.warmup_steps), 1.0)
        return self.final_fraction + (1 - self.final_fraction) * DECAYS[self.decay](done)

    def __call__(self, optimizer: Optimizer, *, num_steps: int) -> LambdaLR:
        """Puts the schedule on an optimizer, to be stepped once per optimizer step.

        Raises:
            UserError: if the warm-up is as long as the run.
        """
        if self.warmup_steps >= num_steps:
            raise UserError(
                f"schedule.warmup_steps={self.warmup_steps} leaves nothing of steps={num_steps}; "
                "a tenth of the steps is usual, 0 turns the warm-up off"
            )
        return LambdaLR(optimizer, lambda step: self.factor(step, num_steps=num_steps))
