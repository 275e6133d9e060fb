from pathlib import Path
from typing import Any

import bench.packed_step
import pytest
import torch
from bench.shapes import KLEIN, PROMPT_TOKENS, Case
from bench.timing import TIMED_STEPS

TINY = {"num_layers": 1, "num_single_layers": 1, "num_attention_heads": 1, "joint_attention_dim": 48}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setitem(KLEIN, "tiny", TINY)
    monkeypatch.setitem(PROMPT_TOKENS, "tiny", 8)
    return Case("tiny", compile=False, checkpointing="full", resolution=64, rank=4)


def test_trials_that_do_not_begin_together_are_timed_in_whole_passes(tiny: Case, tmp_path: Path) -> None:
    wave = [str(tmp_path / "ready"), "1"]

    row = bench.packed_step.timed(tiny, torch.device("cpu"), width=3, wave=wave)

    assert row["ms_min"] <= row["ms"] <= row["ms_max"]
    assert row["passes"][3] > TIMED_STEPS
    assert len(list((tmp_path / "ready").iterdir())) == 1


@pytest.mark.parametrize("slot", [0, 2])
def test_a_trial_that_fails_ends_the_measurement_of_all(
    slot: int, tiny: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loralab.packed import Seat

    differentiate, count = Seat.differentiate, iter(range(100))

    def failing(self: Any) -> None:
        if self.slot == slot and next(count) == 3:
            raise ValueError("this one")
        differentiate(self)

    monkeypatch.setattr(Seat, "differentiate", failing)

    with pytest.raises(ValueError, match="this one"):
        bench.packed_step.timed(tiny, torch.device("cpu"), width=3, wave=[])
