import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from bench.packed_equality import Cell, Plan, measure
from bench.packed_equality_runs import OneByOne
from bench.packed_equality_tables import NAMES, tables, times_spread
from bench.packed_wave import OUT_OF_TIME


def row(optimizer: str, precision: str, *found: float, trial: str = "attention") -> dict[str, Any]:
    shared = {"device": "H200", "torch": "2.11", "model": "tiny", "num_steps": 100}
    distances = dict(zip(("packed", "again", "one_by_one"), found, strict=True))
    return {
        **shared,
        **{"precision": precision, "optimizer": optimizer, "trial": trial},
        **{"weights": distances, "loss": dict.fromkeys(distances, 0.0)},
    }


def test_a_pack_farther_from_alone_than_runs_alone_from_each_other_is_bold_and_counted() -> None:
    rows = [
        row("adamw", "fp32", 1e-7, 2e-7, 0.0),
        row("muon", "fp32", 3e-5, 0.0, 1e-5),
        row("adamw", "bf16", 0.0, 0.0, 0.0),
        {**row("muon", "bf16", 0.0, 0.0, 0.0), "failed": "Traceback:\nModuleNotFoundError: no library"},
    ]

    text = tables(rows[::-1])

    assert (
        "| optimizer | trial | fp32: packed | fp32: alone again | fp32: one by one | bf16: packed |" in text
    )
    assert "| adamw | attention | 1.0e-7 | 2.0e-7 | 0 | 0 | 0 | 0 |" in text
    assert (
        "| muon | attention | **3.0e-5** | 0 | 1.0e-5 | failed: ModuleNotFoundError: no library |  |  |"
        in text
    )
    assert (
        "fp32: the pack is farther than the spread in 1 of 2 rows; 1.8 times it in the middle, 3 at most."
        in text
    )
    assert "bf16: the pack is farther than the spread in 0 of 1 rows" in text
    assert times_spread(row("adamw", "fp32", 1e-9, 0.0, 0.0), "weights") == math.inf


def test_a_cell_that_was_not_begun_has_a_row_for_each_trial_that_says_so(tmp_path: Path) -> None:
    plan = Plan("cpu", 1, tmp_path / "rows.json", end=time.monotonic() - 1, shared=tmp_path)

    measure(Cell("adamw", "tiny", "fp32"), plan=plan)

    rows = json.loads(plan.out.read_text())
    assert [(found["trial"], found["failed"]) for found in rows] == [(name, OUT_OF_TIME) for name in NAMES]
    assert f"| adamw | attention | {OUT_OF_TIME} |  |  |" in tables(rows)


@pytest.mark.parametrize("embeds", [torch.randn(3, 5, 2), list(torch.randn(3, 5, 2))])
def test_pictures_one_by_one_get_the_answers_of_one_pass(embeds: Any) -> None:
    class Linear:
        name = "linear"

        def velocity(self, noisy: torch.Tensor, *, sigma: torch.Tensor, prompt_embeds: Any) -> torch.Tensor:
            prompts = torch.stack(list(prompt_embeds)).mean((1, 2))
            return noisy * (sigma + prompts)[:, None, None, None]

    noisy, sigma = torch.randn(3, 4, 2, 2), torch.rand(3)

    split = OneByOne(Linear())

    whole = Linear().velocity(noisy, sigma=sigma, prompt_embeds=embeds)
    assert torch.equal(split.velocity(noisy, sigma=sigma, prompt_embeds=embeds), whole)
    assert split.name == "linear"
