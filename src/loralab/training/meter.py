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
    """Collects `{stage: {wall_time_s, peak_memory_gib}}` for result.json.

    Attributes:
        device: on a GPU peaks are of tensors, each over its own time; on a CPU they are the process's so far.
        stages: what was measured.
        peaks_gib: of every stage without what was kept apart in it, and of what was.
        alone: whether the device's peaks are this run's; beside other runs each stage's is that of all so far.
    """

    device: torch.device
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    peaks_gib: dict[str, float] = field(default_factory=dict)
    alone: bool = True
    _running: str = ""

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures the block, with what is kept apart in it."""
        outside, self.peaks_gib = self.peaks_gib, {}
        self._reset(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self._book()
            self.stages[name] = {
                "wall_time_s": round(time.perf_counter() - start, 2),
                "peak_memory_gib": max(self.peaks_gib.values()),
            }
            self.peaks_gib = outside | self.peaks_gib

    @contextlib.contextmanager
    def apart(self, name: str) -> Iterator[None]:
        """Keeps the peak of a block within a stage apart from that of the rest; of several blocks the largest."""
        outer = self._running
        self._book()
        self._reset(name)
        try:
            yield
        finally:
            self._book()
            self._reset(outer)

    def _book(self) -> None:
        peak = round(peak_memory_gib(self.device), 3)
        self.peaks_gib[self._running] = max(self.peaks_gib.get(self._running, 0.0), peak)

    def _reset(self, name: str) -> None:
        if self.device.type == "cuda" and self.alone:
            torch.cuda.reset_peak_memory_stats(self.device)
        self._running = name
