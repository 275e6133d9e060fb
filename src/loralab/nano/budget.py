"""Training against the clock: a learning rate over a budget of minutes, and a state that survives interruption."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch

from loralab.files import atomic_path


class Budget:
    """A stopwatch over `minutes` that goes on where a resumed run left it; saves state every `save_every_s` seconds."""

    def __init__(self, minutes: float, *, state_path: Path, save_every_s: float = 180.0) -> None:
        self.total_s, self.state_path, self.save_every_s = minutes * 60, state_path, save_every_s
        self._before_s, self._started, self._saved = 0.0, time.monotonic(), time.monotonic()

    @property
    def spent_s(self) -> float:
        return self._before_s + time.monotonic() - self._started

    @property
    def progress(self) -> float:
        """Share of the budget that is spent, in [0, 1]."""
        return min(1.0, self.spent_s / self.total_s)

    @property
    def over(self) -> bool:
        return self.spent_s >= self.total_s

    def learning_rate(self, step: int, *, peak: float, warmup_steps: int) -> float:
        """Linear warm-up over steps, then half a cosine over the budget down to 2 % of `peak`."""
        return (
            peak
            * min(1.0, (step + 1) / warmup_steps)
            * (0.02 + 0.49 * (1 + math.cos(math.pi * self.progress)))
        )

    def due(self) -> bool:
        """Whether it is time to save; asking resets the wait."""
        late = time.monotonic() - self._saved >= self.save_every_s
        if late:
            self._saved = time.monotonic()
        return late

    def save(self, state: dict[str, Any]) -> None:
        """Writes the state and the time spent, atomically."""
        with atomic_path(self.state_path) as temporary:
            torch.save({**state, "spent_s": self.spent_s}, temporary)

    def resume(self) -> dict[str, Any] | None:
        """The saved state if there is one; the stopwatch then continues from it."""
        if not self.state_path.exists():
            return None
        state: dict[str, Any] = torch.load(self.state_path, map_location="cpu", weights_only=True)
        self._before_s, self._started = state["spent_s"], time.monotonic()
        return state
