"""How many steps: one long run's validation curve scores every shorter one.

Under a constant learning rate a run of n steps is the first n steps of a longer one, bit for bit (same seed, same
order, same noise), so its curve at step n is what a run of n steps would have got.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

KEY = "steps"


@dataclass(frozen=True)
class Lengths:
    """The numbers of steps that a study asks about.

    Attributes:
        low: fewest steps.
        high: most steps, which every trial is trained to.
        listed: the only allowed ones, or empty for all between.
    """

    low: int
    high: int
    listed: tuple[int, ...] = ()

    def allows(self, step: int) -> bool:
        """Says whether a length is asked about."""
        return step in self.listed if self.listed else self.low <= step <= self.high

    def best(self, curve: Iterable[Sequence[float]]) -> tuple[int, float] | None:
        """Gives the step with the lowest loss among the allowed ones, the shortest of equals; None without any."""
        allowed = [(float(loss), int(step)) for step, loss in curve if self.allows(int(step))]
        if not allowed:
            return None
        loss, step = min(allowed)
        return step, loss

    def to_dict(self) -> dict[str, object]:
        """Gives plain values for the storage."""
        return {"key": KEY, "low": self.low, "high": self.high, "listed": list(self.listed)}

    @classmethod
    def from_dict(cls, plain: dict[str, object] | None) -> Lengths | None:
        """Takes plain values back."""
        if not plain:
            return None
        return cls(int(str(plain["low"])), int(str(plain["high"])), tuple(plain["listed"]))  # type: ignore[arg-type]
