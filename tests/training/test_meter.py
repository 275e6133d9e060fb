"""A stage's peak counts all of it; what is kept apart in it is told from the rest. Torch's answers are given."""

from __future__ import annotations

import pytest
import torch

from loralab.training.meter import Meter

GIB = 2**30


class Allocator:
    """Answers as a card's allocator does that has held so much at most since the last reset."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = self._most = 0.0
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: int(self._most * GIB))
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: self._reset())

    def hold(self, gib: float, *, most: float) -> None:
        self._now, self._most = gib, max(self._most, most)

    def _reset(self) -> None:
        self._most = self._now


@pytest.fixture
def allocator(monkeypatch: pytest.MonkeyPatch) -> Allocator:
    return Allocator(monkeypatch)


def test_what_is_drawn_while_training_is_no_part_of_the_steps_peak(allocator: Allocator) -> None:
    meter = Meter(torch.device("cuda"))

    with meter.stage("encode"):
        allocator.hold(0, most=14)
    with meter.stage("train"):
        allocator.hold(7, most=8)
        with meter.apart("watch"):
            allocator.hold(7, most=12)
        allocator.hold(7, most=9)
        with meter.apart("watch"):
            allocator.hold(7, most=11)
    with meter.stage("evaluate"):
        allocator.hold(0, most=7)

    assert meter.peaks_gib == {"encode": 14, "train": 9, "watch": 12, "evaluate": 7}
    peaks = {name: stage["peak_memory_gib"] for name, stage in meter.stages.items()}
    assert peaks == {"encode": 14, "train": 12, "evaluate": 7}


def test_a_stage_that_fails_is_measured_too(allocator: Allocator) -> None:
    meter = Meter(torch.device("cuda"))

    def fail() -> None:
        with meter.stage("train"), meter.apart("watch"):
            allocator.hold(3, most=4)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert meter.peaks_gib == {"train": 3, "watch": 4}
    assert meter.stages["train"]["peak_memory_gib"] == 4


def test_on_a_cpu_every_peak_is_the_processs_so_far() -> None:
    meter = Meter(torch.device("cpu"))

    with meter.stage("train"), meter.apart("watch"):
        pass

    assert meter.peaks_gib["watch"] == pytest.approx(meter.peaks_gib["train"], abs=0.1)
    assert meter.stages["train"]["peak_memory_gib"] > 0.05
