"""How a few-step run is watched (`watch` in conf/train.yaml)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loralab.errors import UserError, joined


@dataclass(frozen=True, kw_only=True)
class WatchSettings:
    """Which pictures tell whether the adapter keeps what few steps draw, and what an alarm does.

    Attributes:
        every: steps between looks; 0 never looks.
        prior: prompts that should stay as they are; None takes the concept's own, or built-in ones.
        num_prompts: of the prior and of the concept each.
        long_steps: solver steps of the other row.
        pictures: decode and keep both rows; without, latents alone are measured.
        stop: whether an alarm ends the run.
    """

    every: int = 100
    prior: Sequence[str] | None = None
    num_prompts: int = 2
    long_steps: int = 32
    pictures: bool = True
    stop: bool = False

    def __post_init__(self) -> None:
        problems = [
            f"watch.{key}={vars(self)[key]} must be at least {least}"
            for key, least in {"every": 0, "num_prompts": 1, "long_steps": 2}.items()
            if vars(self)[key] < least
        ]
        if self.prior is not None and not self.prior:
            problems.append("watch.prior=[] watches nothing; null takes built-in prompts")
        if self.stop and not self.every:
            problems.append("watch.stop=true has no effect with watch.every=0")
        if problems:
            raise UserError("the run cannot be watched so:\n" + joined(problems))
