"""Statistics against figures that were worked out by hand, or from their definitions without the code's own help."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import nct

from loralab.evaluation.intervals import mean_interval
from loralab.report.statistics import analysis_of_variance, hedges_g, interquartile_mean, least_p, sign_flips
from loralab.report.statistics.effect import correction

DIFFERENCES = (1.0, 2.0, 3.0, 4.0, 5.0, 9.0)


def test_hedges_g_is_the_mean_over_the_deviation_times_its_correction() -> None:
    """Mean 4, squares of deviations 9 + 4 + 1 + 0 + 1 + 25 = 40, variance 8; J(5) = 0.8407 (Hedges 1981, table 1)."""
    found = hedges_g(DIFFERENCES)

    assert correction(5) == pytest.approx(0.8407, abs=1e-4)
    assert found is not None and found.value == pytest.approx(0.8407 * 4 / math.sqrt(8), rel=1e-4)


def test_the_ends_of_gs_interval_make_so_large_a_t_a_one_in_forty_event() -> None:
    found = hedges_g(DIFFERENCES)
    assert found is not None
    t = 4 / math.sqrt(8) * math.sqrt(6)

    shifts = [end / correction(5) * math.sqrt(6) for end in (found.low, found.high)]

    assert [nct.cdf(t, 5, shift) for shift in shifts] == pytest.approx([0.975, 0.025], abs=1e-6)


def test_g_of_the_opposite_differences_is_the_opposite() -> None:
    up, down = hedges_g(DIFFERENCES), hedges_g([-each for each in DIFFERENCES])

    assert up is not None and down is not None
    assert (down.value, down.low, down.high) == (-up.value, -up.high, -up.low)


def test_g_says_nothing_of_two_pairs_or_of_differences_that_do_not_vary() -> None:
    assert hedges_g([1.0, 2.0]) is None
    assert hedges_g([0.5, 0.5, 0.5, 0.5]) is None


def test_the_exact_test_counts_the_sign_flips_that_reach_as_far() -> None:
    """Of (1, 2, 3, 4, 5, -6): mean 1.5; of all 64 ways to set signs, so many have a mean at least as far from 0."""
    differences = [1.0, 2.0, 3.0, 4.0, 5.0, -6.0]
    means = [np.mean(np.multiply(signs, differences)) for signs in itertools.product((1, -1), repeat=6)]
    counted = sum(abs(mean) >= 1.5 - 1e-12 for mean in means) / 64

    assert sign_flips([differences], alpha=0.05).p == (pytest.approx(counted),)


def test_holm_multiplies_the_smallest_p_by_all_the_next_by_one_less_and_never_falls() -> None:
    """Nine pairs: all of one sign gives 2/512; one small turned 4/512; corrected x 3, x 2, and x 1 of the last."""
    base = [float(number) for number in range(1, 10)]
    turned, mixed = [-1.0, *base[1:]], [-1.0, 2.0, -3.0, 4.0, -5.0, 6.0, -7.0, 8.0, -9.0]

    found = sign_flips([mixed, base, turned], alpha=0.05)

    assert found.p[1:] == (2 / 512, 4 / 512)
    assert found.holm_p[1:] == (pytest.approx(6 / 512), pytest.approx(8 / 512))
    assert found.holm_p[0] == pytest.approx(found.p[0])


@pytest.mark.parametrize(
    ("num_pairs", "num_comparisons", "is_tested"), [(5, 1, False), (6, 1, True), (6, 2, False)]
)
def test_where_no_p_could_be_below_alpha_none_is_given(
    num_pairs: int, num_comparisons: int, is_tested: bool
) -> None:
    found = sign_flips([DIFFERENCES[:num_pairs]] * num_comparisons, alpha=0.05)

    assert least_p(num_pairs) == found.least_p == 2 / 2**num_pairs
    assert found.least_holm_p == num_comparisons * found.least_p
    assert found.is_tested == is_tested and (None in found.holm_p) != is_tested
    assert ("no test" in found.note) != is_tested


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end_rounded_down() -> None:
    eight = interquartile_mean([100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -50.0])
    three = interquartile_mean([1.0, 2.0, 6.0])

    assert eight is not None and eight.value == 3.5 and eight.low < 3.5 < eight.high
    assert three is not None and three.value == 3.0
    assert interquartile_mean([1.0]) is None


def test_the_bootstrap_interval_of_six_differences_is_nearly_that_of_all_resamples() -> None:
    """All 6^6 resamples, enumerated: the percentile interval; BCa moves it up, for the differences lean upwards."""
    means = np.array([np.mean(drawn) for drawn in itertools.product(DIFFERENCES, repeat=6)])
    low, high = np.percentile(means, [2.5, 97.5])

    found = mean_interval(DIFFERENCES)

    assert (found.low, found.high) == (pytest.approx(low, abs=0.5), pytest.approx(high, abs=0.8))
    assert found.low >= low and found.high >= high


def test_the_analysis_of_variance_is_that_of_the_textbook_formulas() -> None:
    """Two factors, two seeds as blocks: sums of squares are n times squared contrasts, taken here by hand."""
    values = {
        ("-", "-"): (1.0, 2.0),
        ("+", "-"): (4.0, 6.0),
        ("-", "+"): (2.0, 4.0),
        ("+", "+"): (11.0, 12.0),
    }
    rows = [
        {"value": value, "seed": seed, "a": a, "b": b}
        for (a, b), pair in values.items()
        for seed, value in enumerate(pair)
    ]

    terms, model = analysis_of_variance(rows, factors=["a", "b"], with_interactions=True)

    contrast = {
        "a": (33 - 9) / 8,
        "b": (29 - 13) / 8,
        "a x b": ((23 + 3) - (10 + 6)) / 8,
        "seed": (24 - 18) / 8,
    }
    squares = {term.name: term.sum_squares for term in terms}
    residual = sum((row["value"] - 5.25) ** 2 for row in rows) - sum(8 * c**2 for c in contrast.values())
    assert model == "seed + a + b + a x b"
    assert squares == pytest.approx({**{n: 8 * c**2 for n, c in contrast.items()}, "residual": residual})
    by_name = {term.name: term for term in terms}
    assert by_name["a x b"].f == pytest.approx(8 * contrast["a x b"] ** 2 / (residual / 3))
    assert by_name["a"].share == pytest.approx(squares["a"] / (squares["a"] + residual))


def test_runs_too_few_for_the_model_give_no_figures() -> None:
    rows = [{"value": float(i), "seed": i % 2, "a": i // 2, "b": "only"} for i in range(4)]

    assert analysis_of_variance(rows, factors=["a", "b"], with_interactions=True)[0] == ()
    assert analysis_of_variance([], factors=["a"], with_interactions=False)[0] == ()
