"""The planner's coefficients are found again from measurements that they have made."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from bench.planner_error import COEFFICIENTS, LOWEST, largest_error, prediction, refitted, table

from loralab.memory.plan.coefficients import from_json


def _rows(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Gives cases as if they had been measured under these coefficients."""
    base = {
        "model": "flux2_klein4b", "variant": "ours", "kind": "int8", "low_bit": True, "checkpointing": "selective",
        "compile": True, "offload_blocks": 0.0, "offload_activations": False, "batch": 1, "rank": 16,
        "device": "NVIDIA H100 80GB HBM3",
    }  # fmt: skip
    rows = [
        base | changes | {"resolution": side, "tokens": (side // 16) ** 2 + 512}
        for side in (512, 1024)
        for changes in (
            {}, {"checkpointing": "full"}, {"checkpointing": "none"}, {"offload_activations": True},
            {"checkpointed_blocks": 0.1},
            {"offload_blocks": 0.5, "batch": 4},
        )
    ]  # fmt: skip
    for row in rows:
        peaks, placement, roofline = prediction(row, from_json(content))
        row |= {"peak_gib": peaks.step(placement) / 2**30, "ms": 1000 * roofline.step_s(placement)}
    return rows


def test_coefficients_are_found_again_a_little_above_what_was_measured() -> None:
    shipped = json.loads(COEFFICIENTS.read_text())
    true = copy.deepcopy(shipped) | {"host": {"compiled": 0.0, "eager": 0.0}}
    inside = {"full": 70.0, "selective": 60.0}
    true["ways"]["flux2_klein/compiled/low_bit"] |= {
        "inside": inside, "kept": 30.0, "traffic": 100.0, "launch": 900.0
    }  # fmt: skip
    rows = _rows(true)

    found = refitted(rows, shipped)

    way = found["ways"]["flux2_klein/compiled/low_bit"]
    assert way["traffic"] == pytest.approx(100, rel=0.02) and way["launch"] == pytest.approx(900, rel=0.1)
    assert way["num_cases"] == {"full": 2, "selective": 8, "none": 2}
    assert largest_error(rows, found) < 0.015 < -LOWEST + 0.015
    assert "12 of 12 within" in table(rows, from_json(found))
    assert found["ways"]["flux2_klein/compiled/exact"]["num_cases"]["selective"] == 0


def test_another_cards_cases_are_in_a_table_of_their_own_and_fit_nothing() -> None:
    shipped = json.loads(COEFFICIENTS.read_text())
    rows = _rows(shipped)
    others = [row | {"device": "NVIDIA H200", "ms": 2 * row["ms"], "peak_gib": 1.0} for row in rows]

    text = table([*rows, *others[:1]], from_json(shipped))

    assert refitted([*rows, *others], shipped) == refitted(rows, shipped) != refitted(others, shipped)
    assert [line for line in text.splitlines() if line.startswith("NVIDIA")] == [
        "NVIDIA H100 80GB HBM3:",
        "NVIDIA H200:",
    ]
    assert "12 of 12 within" in text and "0 of 1 within" in text


def test_the_hosts_time_is_found_where_the_device_waited_for_it() -> None:
    shipped = json.loads(COEFFICIENTS.read_text())
    true = copy.deepcopy(shipped) | {"host": {"compiled": 1250.0, "eager": 0.0}}
    waiting = [
        pytest.approx(passes * 25 * 1.25) for passes in (4, 3)
    ]  # of blocks that repeat, or keep everything
    rows = [row | {"idle_share": 0.4 if row["ms"] in waiting else 0.01} for row in _rows(true)]

    found = refitted(rows, shipped)

    assert {row["idle_share"] for row in rows} == {0.01, 0.4}
    assert found["host"] == {"compiled": pytest.approx(1250.0), "eager": shipped["host"]["eager"]}
