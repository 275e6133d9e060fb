"""Two-level fractions, against the designs of the textbooks."""

from __future__ import annotations

import itertools

import pytest
from tests.study.ablation.definitions import ablation, two_levels

from loralab.errors import UserError
from loralab.study.ablation import cells_of, fraction_of


def test_the_half_of_four_factors_has_resolution_iv_and_its_pairs_of_aliases() -> None:
    found = fraction_of(two_levels("abcd"))

    assert (len(found.points), found.resolution) == (8, 4)
    assert found.aliases == ("a x b = c x d", "a x c = b x d", "a x d = b x c")


def test_the_quarter_of_five_factors_has_resolution_iii() -> None:
    """2^(5-2) with D = AB and E = AC has the words ABD, ACE and BCDE (Montgomery, Design and analysis, table 8.14)."""
    found = fraction_of(two_levels("abcde", generators={"d": ["a", "b"], "e": ["a", "c"]}))

    assert (len(found.points), found.resolution) == (8, 3)
    assert set(found.words) == {frozenset("abd"), frozenset("ace"), frozenset("bcde")}
    assert "a = b x d" in found.aliases


@pytest.mark.parametrize("names", ["abc", "abcd", "abcde"])
def test_in_every_fraction_any_two_factors_meet_equally_often_and_the_baseline_is_a_cell(names: str) -> None:
    definition = two_levels(names)
    cells = cells_of(definition)

    assert cells[0].name == "baseline" and len(cells) == 2 ** (len(names) - 1)
    for one, other in itertools.combinations(names, 2):
        pairs = [(cell.levels[one], cell.levels[other]) for cell in cells]
        assert {pairs.count(pair) for pair in itertools.product(("on", "off"), repeat=2)} == {len(cells) / 4}


@pytest.mark.parametrize(
    ("generators", "told"),
    [
        ({"b": ["a"]}, "resolution 2: a x b cannot be told apart"),
        ({"d": ["e"]}, "a factor is the product of others"),
        ({"c": ["a", "d"], "d": ["a", "b"]}, r"that have no generator of their own \(a, b\)"),
    ],
)
def test_generators_that_tell_too_little_apart_are_refused(
    generators: dict[str, list[str]], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        fraction_of(two_levels("abcd", generators=generators))


def test_a_factor_of_three_levels_has_no_half() -> None:
    with pytest.raises(UserError, match="rate has 3"):
        fraction_of(ablation(design="fractional"))
