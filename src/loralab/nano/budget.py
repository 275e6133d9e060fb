"""A stopwatch that survives interruption: the schedule of a training that has minutes, not steps."""

from __future__ import annotations

import math
import time


class Budget:
    """Time spent of `minutes`; `spent_s` before now is what earlier parts of the same training took."""

    def __init__(self, minutes: float, *, spent_s: float = 0.0) -> None:
        self.total_s = minutes * 60
        self._started = time.monotonic() - spent_s

    @property
    def spent_s(self) -> float:
        """Seconds since the training began, pauses between its parts left out."""
        return time.monotonic() - self._started

    @property
    def over(self) -> bool:
        """Whether the budget is spent."""
        return self.spent_s >= self.total_s

    def factor(self, step: int, *, warmup_steps: int) -> float:
        """Share of the peak learning rate: linear warm-up over steps, then half a cosine over time, down to 2 %."""
        progress = min(1.0, self.spent_s / self.total_s)
        return min(1.0, (step + 1) / warmup_steps) * (0.02 + 0.49 * (1 + math.cos(math.pi * progress)))
