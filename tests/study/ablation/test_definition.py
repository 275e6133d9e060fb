"""What a definition may say, and what is refused before anything is run."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.study.ablation.definitions import ablation, plain

from loralab.config import CONF
from loralab.errors import UserError
from loralab.study.ablation import cells_of, read_ablation

RANK = {"baseline": 16, "levels": {16: ["adapter.rank=16"], 4: ["adapter.rank=4"]}}
CLAIM = {"text": "t", "metric": "style.distance", "margin": 0.05, "says": "s", "does_not_say": "d"}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"titel": "x"}, r"ablation\.titel is no setting; known: title"),
        ({"design": "latin"}, "design=latin is none of one_at_a_time"),
        ({"factors": {"rank": {**RANK, "baseline": 8}}}, r"baseline=8 is none of its levels \(16, 4\)"),
        ({"factors": {"rank": {**RANK, "levels": {16: ["adapter.rank=16"], 4: []}}}}, r"levels\.4 sets nothing"),
        ({"factors": {"rank": {**RANK, "levels": {16: ["a.b=1"], 4: ["a.b=1"]}}}}, "levels 16 and 4 are the same"),
        ({"factors": {"rank": {**RANK, "levels": {16: ["a.b=1"]}}}}, "has 1 levels; it needs at least 2"),
        ({"factors": {"rank": {**RANK, "levels": {16: ["rank"], 4: ["a=1"]}}}}, "'rank' is no override"),
        ({"factors": {"one": RANK, "two": RANK}}, r"factors one and two both set adapter\.rank"),
        ({"overrides": ["adapter.rank=8"]}, r"adapter\.rank is set by factor rank, and for all runs as well"),
        ({"seeds": [0, 0]}, "names a seed twice"),
        ({"seeds": 3}, "must be a list of whole numbers"),
        ({"metrics": {"style.distance": "less"}}, "must be minimize or maximize"),
        ({"confirm": {"cells": ["rank=4"], "seeds": [2]}}, "the planned runs have seen 2"),
        ({"confirm": {"cells": ["rank=8"], "seeds": [9]}}, "there is no cell 'rank=8'"),
        ({"claim": {**CLAIM, "expected": [{"cell": "rank=8", "expects": "worse"}]}}, "there is no cell 'rank=8'"),
        ({"claim": {**CLAIM, "expected": [{"cell": "rank=4", "expects": "other"}]}}, "must be better or worse"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_key(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        cells_of(read_ablation(plain(**changed), name="small"))


def test_one_at_a_time_varies_each_factor_around_the_baseline_which_comes_first() -> None:
    cells = cells_of(ablation())

    assert [cell.name for cell in cells] == ["baseline", "rank=4", "rate=x2", "rate=x4"]
    assert cells[0].overrides == ("adapter.rank=16", "optimizer.lr=3e-3")
    assert cells[2].levels == {"rank": "16", "rate": "x2"}


def test_a_factorial_has_every_combination_once() -> None:
    cells = cells_of(ablation(design="factorial"))

    assert len({tuple(cell.levels.values()) for cell in cells}) == len(cells) == 6
    assert (cells[0].name, cells[-1].name) == ("baseline", "rank=4, rate=x4")


def test_a_cell_whose_settings_change_is_another_one_to_the_study() -> None:
    before = cells_of(ablation())
    changed = plain()
    changed["factors"]["rank"]["levels"][4] = ["adapter.rank=2"]
    after = cells_of(read_ablation(changed, name="small"))

    assert [one.number == other.number for one, other in zip(before, after, strict=True)] == [
        True,
        False,
        True,
        True,
    ]


def test_every_shipped_ablation_can_be_read_and_a_claim_has_seeds_enough_for_a_verdict() -> None:
    files = sorted((CONF / "ablation").glob("*.yaml"))
    assert len(files) >= 8

    for file in files:
        found = read_ablation(yaml.safe_load(file.read_text(encoding="utf-8")), name=file.stem)
        assert cells_of(found)[0].name == "baseline"
        if found.claim is not None:
            least = len(found.claim.expected) * 2 / 2 ** len(found.seeds)
            assert len(found.seeds) >= 5 and least < found.alpha, file.stem
