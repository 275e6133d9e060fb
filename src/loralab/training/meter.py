"""Wall time and peak memory of each stage of a run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from loralab.memory import peak_memory_gib


@dataclass
class Meter:
    """Collects `{stage: {wall_time_s, peak_memory_gib}}` for result.json."""

    device: torch.device
    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures the block; on a GPU the peak is the stage's own, on a CPU it is the process's so far."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = {
                "wall_time_s": round(time.perf_counter() - start, 2),
                "peak_memory_gib": round(peak_memory_gib(self.device), 3),
            }
