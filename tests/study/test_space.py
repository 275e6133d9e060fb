"""Spaces: what is drawn, listed and held."""

import pytest
from optuna import create_study
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from loralab.errors import UserError
from loralab.study import Branch, Space

RATE = FloatDistribution(1e-5, 1e-3, log=True)
RANK = CategoricalDistribution([8, 16, 32])


def test_a_grid_has_every_combination_and_a_branch_only_under_its_choice() -> None:
    space = Space(
        {"optimizer": CategoricalDistribution(["adamw", "prodigy"]), "adapter.rank": RANK},
        (Branch("optimizer", "prodigy", {"optimizer.d_coef": CategoricalDistribution([0.5, 1.0])}),),
    )

    points = space.grid()

    assert len(points) == 3 + 3 * 2
    assert all(("optimizer.d_coef" in point) == (point["optimizer"] == "prodigy") for point in points)


def test_one_factor_at_a_time_begins_with_the_base_and_changes_one_thing_in_each_point() -> None:
    space = Space({"adapter.rank": RANK, "steps": IntDistribution(100, 400, step=100)})
    base = {"adapter.rank": 16, "steps": 200}

    points = space.one_factor(base)

    assert points[0] == base
    assert len(points) == 1 + 2 + 3
    assert all(sum(point[k] != base[k] for k in base) == 1 for point in points[1:])


def test_one_factor_at_a_time_needs_a_base_inside_the_space() -> None:
    with pytest.raises(UserError, match=r"adapter\.rank is configured outside"):
        Space({"adapter.rank": RANK}).one_factor({"adapter.rank": 64})


def test_an_interval_makes_no_grid() -> None:
    with pytest.raises(UserError, match=r"optimizer\.lr is an interval; a grid needs a list"):
        Space({"optimizer.lr": RATE}).grid()


def test_only_what_lies_in_the_space_is_kept_of_a_point() -> None:
    space = Space({"optimizer.lr": RATE, "adapter.rank": RANK})

    assert space.inside({"optimizer.lr": 1e-4, "adapter.rank": 64, "seed": 1}) == {"optimizer.lr": 1e-4}
    assert space.inside({"optimizer.lr": True}) == {}


def test_a_trial_draws_a_branch_only_under_its_choice() -> None:
    space = Space(
        {"optimizer": CategoricalDistribution(["adamw", "prodigy"])},
        (Branch("optimizer", "prodigy", {"optimizer.d_coef": FloatDistribution(0.5, 2.0)}),),
    )
    study = create_study()

    points = [space.suggest(study.ask()) for _ in range(20)]

    assert {point["optimizer"] for point in points} == {"adamw", "prodigy"}
    assert all(("optimizer.d_coef" in point) == (point["optimizer"] == "prodigy") for point in points)


def test_a_parameter_that_is_searched_twice_is_refused() -> None:
    with pytest.raises(UserError, match="is searched twice"):
        Space({"optimizer": RANK, "steps": RANK}, (Branch("optimizer", 8, {"steps": RANK}),))
