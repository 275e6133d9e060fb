import functools
from typing import Any

import pytest

from loralab.errors import UserError
from loralab.ranges import Bound, SafeRange, advice, applicable, outside, widened

RATE = SafeRange(
    key="optimizer.lr",
    low=Bound(2e-5, "a trainer", is_search_only=True),
    high=Bound(1e-4, "a report"),
    recommended=Bound(5e-5, "a recipe"),
    is_log=True,
    when={"optimizer._target_": ("AdamW", "AdamW8bit")},
)
RANK = SafeRange(key="adapter.rank", low=Bound(32, "an article"), recommended=Bound(64, "an article"))


def test_a_value_beyond_a_bound_is_named_with_the_range_and_the_bounds_source() -> None:
    said = outside(RATE, 1e-3, model="big")

    assert said == "optimizer.lr=0.001 is outside the safe range [2e-05, 0.0001] for big (source: a report)"
    assert advice(RATE, 1e-3) == "Lower it to 5e-05"
    assert (
        outside(RANK, 16, model="big")
        == "adapter.rank=16 is outside the safe range [32, any] for big (source: an article)"
    )
    assert advice(RANK, 16) == "Raise it to 64"


@pytest.mark.parametrize("value", [1e-4, 5e-5, 2e-5, "fast", None, True])
def test_a_value_inside_or_at_an_end_and_what_is_no_number_is_let_through(value: Any) -> None:
    assert outside(RATE, value, model="big") is None


def test_a_bound_for_searches_lets_a_single_run_pass_and_stops_a_search() -> None:
    assert outside(RATE, 1e-6, model="big") is None
    assert widened(RATE, [1e-6, 1e-4], model="big") == [
        "the search of optimizer.lr has 1e-06, outside the safe range [2e-05, 0.0001] for big (source: a trainer)"
    ]


def test_every_choice_outside_is_named_and_a_narrower_search_is_not() -> None:
    assert len(widened(RANK, [8, 16, 32, 64, 128], model="big")) == 2
    assert not widened(RATE, [3e-5, 8e-5], model="big")


def test_a_range_applies_under_its_condition_and_the_first_of_a_key_counts() -> None:
    special = SafeRange(
        key="optimizer.lr",
        high=Bound(3e-4, "a preset"),
        recommended=Bound(1e-4, "a preset"),
        when={"optimizer._target_": ("AdamW",), "adapter.alpha": (1,)},
    )

    def found(**values: Any) -> list[SafeRange]:
        value_of = functools.partial({k.replace("__", "."): v for k, v in values.items()}.get)
        return list(applicable([special, RATE, RANK], value_of).values())

    assert found(optimizer___target_="AdamW", adapter__alpha=16) == [RATE, RANK]
    assert found(optimizer___target_="AdamW", adapter__alpha=1) == [special, RANK]
    assert found(optimizer___target_="Muon", adapter__alpha=1) == [RANK]


def test_a_safe_range_is_searched_whole_and_whole_numbers_stay_whole() -> None:
    steps = SafeRange(key="steps", low=Bound(96, "x"), high=Bound(1000, "x"), recommended=Bound(600, "x"))

    assert steps.grammar() == "interval(96, 1000)"
    assert RATE.grammar() == "tag(log, interval(2e-05, 0.0001))"


def test_a_range_with_one_end_is_no_search() -> None:
    with pytest.raises(UserError, match=r"adapter.rank=safe: no source names both ends of \[32, any\]"):
        RANK.grammar()
