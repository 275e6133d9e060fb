from __future__ import annotations

import numpy as np
import pytest

from loralab.evaluation.intervals import mean_interval, share_interval


def test_bootstrap_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    source = np.random.default_rng(0)

    intervals = [mean_interval(source.normal(1.0, 2.0, 40).tolist(), num_resamples=200) for _ in range(50)]

    assert 43 <= sum(found.low <= 1.0 <= found.high for found in intervals) < 50


def test_interval_holds_the_mean_and_repeats_itself() -> None:
    values = [0.1, 0.4, -0.2, 0.9, 0.3, 0.2]

    first, second = mean_interval(values), mean_interval(values)

    assert first == second
    assert first.value == pytest.approx(np.mean(values))
    assert first.low < first.value < first.high


@pytest.mark.parametrize("values", [[0.5], [0.25] * 10, [0.0] * 3])
def test_equal_values_give_an_interval_without_width(values: list[float]) -> None:
    found = mean_interval(values)

    assert found.low == found.value == found.high == values[0]


def test_wilson_interval_agrees_with_a_published_example() -> None:
    # 15 of 20: 0.531 to 0.888 (Wilson score interval without continuity correction)
    found = share_interval(15, count=20)

    assert found.value == 0.75
    assert (found.low, found.high) == (pytest.approx(0.531, abs=1e-3), pytest.approx(0.888, abs=1e-3))


def test_shares_of_none_and_all_stay_between_zero_and_one() -> None:
    none, all_of_them = share_interval(0, count=10), share_interval(10, count=10)

    assert none.low == 0
    assert 0.2 < none.high < 0.4
    assert all_of_them.high == 1
