"""memory=auto on a GPU, as a machine without one can see it: torch's answers about the card are given."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from tests.memory.plan.asked import CUDA, configured

from loralab.memory import Placement
from loralab.planning import decided, drawing_placement


def test_auto_becomes_what_fits_into_the_free_memory_and_says_its_neighbours(
    klein: Path, card: Any, caplog: pytest.LogCaptureFixture
) -> None:
    card("NVIDIA GeForce RTX 4090", free_gib=14, capability=(8, 9))
    config, policy, denoiser = configured("train", klein, "memory.checkpointing=full")

    with caplog.at_level(logging.INFO, logger="loralab"):
        decision = decided(config, policy, denoiser, device=CUDA)

    assert decision.placement.kind in ("int8", "fp8") and decision.placement.low_bit
    assert decision.placement.checkpointing == "full"
    assert decision.train_peak_gib is not None and decision.train_peak_gib < 14 * 0.97
    said = [record.getMessage() for record in caplog.records]
    assert [line.split(": ", 1)[1].split("  ")[0] for line in said] == [
        "chosen",
        "next cheaper",
        "next dearer",
    ]
    assert decision.summary(measured_gib=11.0)["measured_train_peak_gib"] == 11.0


@pytest.mark.parametrize(
    ("overrides", "compiles"),
    [
        (["steps=50"], False),
        (["steps=50", "memory.compile=true"], True),
        (["steps=2000"], True),
    ],
)
def test_blocks_of_a_run_of_seconds_are_not_compiled(
    overrides: list[str], compiles: bool, klein: Path, card: Any
) -> None:
    card("NVIDIA GeForce RTX 4090", free_gib=24, capability=(8, 9))
    config, policy, denoiser = configured("train", klein, *overrides)

    assert decided(config, policy, denoiser, device=CUDA).placement.compile is compiles


def test_where_the_host_is_what_a_step_waits_for_nothing_is_repeated(klein: Path, card: Any) -> None:
    card("NVIDIA H200", free_gib=80, capability=(9, 0))
    config, policy, denoiser = configured("train", klein, "dataset.resolutions=[256]", "memory.compile=true")

    assert decided(config, policy, denoiser, device=CUDA).placement.checkpointing == "none"


def test_a_chosen_precision_is_not_touched_but_predicted(klein: Path, card: Any) -> None:
    card("NVIDIA GeForce RTX 4090", free_gib=20, capability=(8, 9))
    config, policy, denoiser = configured("train", klein, "memory=nf4")

    decision = decided(config, policy, denoiser, device=CUDA)

    assert decision.placement == policy.on(CUDA)
    assert 5 < (decision.train_peak_gib or 0) < 20


@pytest.mark.parametrize(("free_gib", "kind", "share"), [(80, None, 0.0), (20, "int8", 0.0), (10, None, 1.0)])
@pytest.mark.parametrize("command", ["sample", "score"])
def test_pictures_are_drawn_in_the_most_exact_precision_that_fits(
    command: str, free_gib: float, kind: str | None, share: float, klein: Path, card: Any
) -> None:
    card("NVIDIA GeForce RTX 3090", free_gib=free_gib, capability=(8, 6))
    needed = {"sample": ("prompt=x",), "score": ("adapter_file=x",)}[command]
    config, policy, denoiser = configured(command, klein, *needed)

    placement: Placement = drawing_placement(config, policy, denoiser, device=CUDA)

    assert (placement.kind, placement.offload_blocks) == (kind, share)
