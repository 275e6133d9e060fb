from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench.packed import predicted_gib
from bench.planner_error import prediction

from loralab.memory.plan.coefficients import measured
from loralab.planning.packed import packed_bytes

DOCS = Path(__file__).parents[2] / "docs"
ROWS = [
    row
    for name in ("packed.json", "packed_again.json")
    for row in json.loads((DOCS / name).read_text())
    if row["width"]
]


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row['model']}-{row['label']}-{row['resolution']}-{row['width']}"
)
def test_a_pack_needs_what_was_measured(row: dict[str, float]) -> None:
    assert -0.02 <= predicted_gib(row) / row["peak_gib"] - 1 <= 0.05


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row["width"] > 1],
    ids=lambda row: f"{row['model']}-{row['label']}-{row['resolution']}-{row['width']}",
)
def test_a_packs_step_takes_as_long_as_was_measured(row: dict[str, float]) -> None:
    _, placement, roofline = prediction({**row, "batch": int(row["width"])}, measured())

    assert -0.12 <= 1000 * roofline.step_s(placement) / row["ms"] - 1 <= 0.06


def test_gradients_that_are_accumulated_are_there_beside_the_activations() -> None:
    row = ROWS[0]
    one, placement, _ = prediction(row, measured())
    together, _, _ = prediction({**row, "batch": 4}, measured())

    at_once, gathered = (
        packed_bytes(together, one, placement=placement, width=4, accumulates=each) for each in (False, True)
    )

    assert gathered - at_once == 3 * 4 * one.num_parameters
