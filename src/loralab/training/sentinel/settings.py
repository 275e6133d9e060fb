"""What the sentinel does when a run collapses (`sentinel` in conf/train.yaml)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from loralab.errors import UserError, joined
from loralab.training.sentinel.rules import Limits

ACTIONS = ("none", "warn", "lower_lr", "rollback", "stop")


@dataclass(frozen=True, kw_only=True)
class SentinelSettings:
    """How a run is guarded against collapse.

    Attributes:
        action: `none` does not look; `warn` says so; `lower_lr` multiplies the rate by `factor`; `rollback` stops and
            puts the last good snapshot in place of the adapter; `stop` stops with what there is.
        factor: of the learning rate.
        most_lowerings: after so many an alarm is a warning only.
        prior: prompts that should stay as they are; None takes the regularisation set's, or built-in ones.
        num_prompts: how many of them.
        num_steps: solver steps of the small pictures that snapshots are judged by.
        limits: what counts as collapse.
    """

    action: str = "warn"
    factor: float = 0.5
    most_lowerings: int = 3
    prior: Sequence[str] | None = None
    num_prompts: int = 2
    num_steps: int = 8
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        problems = []
        if self.action not in ACTIONS:
            problems.append(f"sentinel.action={self.action} is none of {', '.join(ACTIONS)}")
        if not 0 < self.factor < 1:
            problems.append(f"sentinel.factor={self.factor} must lie between 0 and 1; 0.5 halves the rate")
        for key, least in {"most_lowerings": 1, "num_prompts": 1, "num_steps": 2}.items():
            if vars(self)[key] < least:
                problems.append(f"sentinel.{key}={vars(self)[key]} must be at least {least}")
        if self.prior is not None and not self.prior:
            problems.append(
                "sentinel.prior=[] looks at nothing; null takes the regularisation set's or built-in prompts"
            )
        if problems:
            raise UserError("the run cannot be guarded so:\n" + joined(problems))
