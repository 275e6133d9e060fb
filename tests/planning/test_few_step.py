from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from bench.planner_error import prediction

from loralab.flow import LogitNormal
from loralab.flow.weighting import ConstantWeighting
from loralab.memory.plan import Peaks
from loralab.memory.plan.coefficients import measured
from loralab.objectives.distribution import Base, Coupled, DistributionMatching, Fake, Prior

DOCS = Path(__file__).parents[2] / "docs"
SHAPE = {
    "model": "zimage_turbo", "rank": 32, "batch": 1, "resolution": 1024, "tokens": 4224, "targets": "attention_mlp",
    "kind": "int8", "low_bit": True, "checkpointing": "selective", "compile": True, "offload_blocks": 0.0,
    "offload_activations": False, "device": "NVIDIA H200",
}  # fmt: skip


def settings(**given: Any) -> DistributionMatching:
    known: dict[str, Any] = {
        "sigmas": LogitNormal(),
        "weighting": ConstantWeighting(),
        "assistant": "a",
        **given,
    }
    return DistributionMatching(**known)


@pytest.mark.parametrize("stage", ["naive", "dm_aware"])
def test_a_step_beside_other_adapters_needs_what_was_measured(stage: str) -> None:
    row = json.loads((DOCS / "dm_step.json").read_text())
    alone, placement, _ = prediction(SHAPE, measured())
    # In the naive step the three others are there too, but nothing trains the fake network yet.
    copies = settings().num_copies if stage == "dm_aware" else 3
    beside = Peaks(dataclasses.replace(alone.subject, num_copies=copies), measured())

    predicted = beside.step(placement) / 2**30

    assert -0.02 <= predicted / row[stage]["peak_gib"] - 1 <= 0.05


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        ({"preset": "adapter"}, 6),
        ({"preset": "adapter", "prior": Prior(weight=0.0)}, 3),
        ({"teacher": "t"}, 28),
        ({"teacher": "t", "fake": Fake(updates=2)}, 22),
        ({"teacher": "t", "coupled": Coupled(weight=0.3)}, 31),
        ({"teacher": "t", "preset": "coupled"}, 6),
        ({}, 0.9 * 6 + 0.1 * 28),
    ],
)
def test_passes_are_those_of_the_table(given: dict[str, object], passes: float) -> None:
    assert settings(**given).mean_passes(1000, grid=8) == pytest.approx(passes)


def test_a_second_backbone_takes_the_assistants_place() -> None:
    two = settings(assistant=None, base=Base(checkpoint="b"), preset="adapter")

    assert (settings(preset="adapter").num_copies, two.num_copies) == (1, 0)
    assert (settings(preset="coupled").num_copies, settings().num_copies) == (2, 6)
    alone, placement, _ = prediction(SHAPE, measured())
    both = Peaks(dataclasses.replace(alone.subject, num_backbones=2), measured())
    assert both.step(placement) - alone.step(placement) == alone.weights(placement).on_device(0.0)
