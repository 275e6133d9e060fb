"""Hydra's override grammar as a search, and points as overrides."""

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from loralab.errors import UserError
from loralab.sweeper.grammar import overrides_of, read_overrides


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8,16", CategoricalDistribution([8, 16])),
        ("true,null,adamw", CategoricalDistribution([True, None, "adamw"])),
        ("choice([512],[768,1024])", CategoricalDistribution(["[512]", "[768,1024]"])),
        ("choice('a b','c,d')", CategoricalDistribution(["a b", "c,d"])),
        ("interval(1,64)", IntDistribution(1, 64)),
        ("interval(0,0.5)", FloatDistribution(0.0, 0.5)),
        ("tag(log,interval(1e-5,1e-3))", FloatDistribution(1e-5, 1e-3, log=True)),
        ("range(0,10,3)", IntDistribution(0, 9, step=3)),
        ("range(0.0,1.0,0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
    ],
)
def test_each_form_of_the_grammar_becomes_its_distribution(text: str, expected: BaseDistribution) -> None:
    found = read_overrides([f"key={text}", "steps=10"])

    assert found.searched == {"key": expected}
    assert found.fixed == ("steps=10",)


def test_of_two_overrides_for_one_key_the_later_counts() -> None:
    found = read_overrides(["adapter.rank=8,16", "steps=5", "adapter.rank=4", "steps=5,6"])

    assert found.searched == {"steps": CategoricalDistribution([5, 6])}
    assert found.fixed == ("adapter.rank=4",)


@pytest.mark.parametrize(
    "value",
    [3, 0.0012345678901234567, 1e-07, True, None, "adamw", "a b", "it's, fine", "", "[768,1024]", "x=1"],
)
def test_a_value_comes_back_from_its_override(value: Any) -> None:
    (line,) = overrides_of({"some.key": value})

    parsed = OverridesParser.create().parse_override(line).value()

    assert parsed == ([768, 1024] if value == "[768,1024]" else value)


def test_a_range_without_values_is_refused() -> None:
    with pytest.raises(UserError, match="the range has no values"):
        read_overrides(["steps=range(10,10,5)"])
