"""How wide a pack is on a GPU, and how it holds its base there."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.memory.plan.asked import CUDA, configured

from loralab.errors import UserError
from loralab.planning.packed import Packs

AT_512 = ("dataset.resolutions=[512]", "adapter.targets=attention", "memory.compile=true")
ATTENTION = ("attention",)
H100 = "NVIDIA H100 80GB HBM3"


def packs(
    klein: Path, *overrides: str, targets: tuple[str, ...] = ATTENTION, device: torch.device = CUDA
) -> Packs:
    config, policy, denoiser = configured("train", klein, *overrides)
    return Packs(config=config, policy=policy, denoiser=denoiser, rank=16, targets=targets, device=device)


def test_a_pack_is_as_wide_as_pays_as_fits_and_as_there_are_trials(klein: Path, card: Any) -> None:
    for free_gib, most, expected in ((79, 24, 8), (79, 7, 4), (14, 24, 2), (8, 24, 1)):
        card(H100, free_gib=free_gib, capability=(9, 0))
        assert packs(klein, *AT_512, "memory=int8").width(most=most) == expected  # 16 would save 1 % more


def test_auto_gives_memory_to_blocks_before_it_gives_it_to_more_trials_that_save_nothing(
    klein: Path, card: Any, caplog: pytest.LogCaptureFixture
) -> None:
    card(H100, free_gib=79, capability=(9, 0))
    with caplog.at_level(logging.INFO, logger="loralab"):
        roomy = packs(klein, *AT_512, "steps=50").decision(4)
    card(H100, free_gib=21, capability=(9, 0))
    tight = packs(klein, *AT_512, "steps=50").decision(4)

    assert (roomy.placement.kind, roomy.placement.checkpointing) == ("int8", "none")
    assert roomy.placement.compile  # though a run of 50 steps alone is not compiled
    assert roomy.train_peak_gib == pytest.approx(38.2, rel=0.05)  # bench/packed.py --checkpointed 0: 38.16
    assert tight.placement.checkpointing == "selective" and 0 < tight.placement.checkpointed_blocks <= 1
    assert tight.train_peak_gib is not None and tight.train_peak_gib < 21
    assert [record.getMessage().split()[1] for record in caplog.records] == ["chosen", "next", "next"]


@pytest.mark.slow
def test_with_auto_the_width_is_that_of_packs_that_keep_what_they_need(klein: Path, card: Any) -> None:
    card(H100, free_gib=79, capability=(9, 0))

    assert packs(klein, *AT_512).width(most=24) == 4  # of int8 that computes again 8


def test_a_pack_is_as_large_as_the_trial_that_adapts_most(klein: Path, card: Any) -> None:
    card(H100, free_gib=79, capability=(9, 0))

    few, more, both = (
        packs(klein, *AT_512, "memory=int8", targets=targets).decision(2).train_peak_gib
        for targets in (ATTENTION, ("all",), ("all", "attention"))
    )

    assert few is not None and more is not None
    assert few < more == both


def test_a_pack_that_does_not_fit_says_what_would_be_needed(klein: Path, card: Any) -> None:
    card(H100, free_gib=79, capability=(9, 0))
    unfit = packs(klein, *AT_512, "memory.budget_gib=2")

    with pytest.raises(UserError, match=r"memory\.budget_gib=2\.00 is not enough"):
        unfit.decision(4)


def test_what_is_set_stays_and_is_predicted(klein: Path, card: Any) -> None:
    card(H100, free_gib=79, capability=(9, 0))
    fixed = packs(klein, *AT_512, "memory=int8")

    decision = fixed.decision(4)

    assert decision.placement == fixed.policy.on(CUDA)
    assert decision.train_peak_gib == pytest.approx(14.8, rel=0.05)  # docs/packed.json


def test_on_a_cpu_nothing_is_planned(klein: Path) -> None:
    cpu = torch.device("cpu")
    there = packs(klein, device=cpu)

    assert there.width(most=24) == 4
    assert there.width(most=3) == 3
    decision = there.decision(4)
    assert decision.placement == there.policy.on(cpu) and decision.train_peak_gib is None
