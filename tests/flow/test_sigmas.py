import math

import pytest
import torch

from loralab.flow import ConstantShift, LogitNormal, Shifted, TokenShift, Uniform, seeded_uniform, shift_sigma
from loralab.flow.sigmas import density

SAMPLERS = [
    Uniform(),
    LogitNormal(),
    LogitNormal(0.5, 1.0),
    Shifted(LogitNormal(), ConstantShift(3.0)),
    Shifted(Uniform(), TokenShift()),
]
UNIFORM = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_sigmas_rise_with_the_uniform_number_and_stay_inside(sampler):
    sigma = sampler.quantile(UNIFORM, num_tokens=1024)

    assert (sigma.diff() > 0).all()
    assert sigma[0] > 0 and sigma[-1] < 1


@pytest.mark.parametrize(
    ("sampler", "mean", "above"),
    [
        (LogitNormal(), 0.500, 0.136),
        (Shifted(Uniform(), ConstantShift(3.0)), 0.676, 0.500),
        (Shifted(LogitNormal(), ConstantShift(3.0)), 0.714, 0.500),
        (Shifted(LogitNormal(), ConstantShift(2.0)), 0.640, 0.343),
        (Shifted(LogitNormal(), TokenShift()), 0.723, 0.521),
    ],
    ids=repr,
)
def test_drawn_sigmas_match_the_published_figures_of_public_trainers(sampler, mean, above):
    sigma = sampler.quantile(UNIFORM, num_tokens=4096)

    assert sigma.mean().item() == pytest.approx(mean, abs=0.002)
    assert (sigma > 0.75).double().mean().item() == pytest.approx(above, abs=0.002)


def test_density_is_a_density():
    sigma, value = density(LogitNormal(), num_tokens=1)

    assert sum(value) / len(value) == pytest.approx(1.0)
    assert value[len(value) // 2] == pytest.approx(4 / math.sqrt(2 * math.pi), rel=0.01)
    assert sigma[0] == pytest.approx(1 / 128)


def test_shift_keeps_the_ends_and_one_changes_nothing():
    sigma = torch.tensor([0.0, 0.3, 1.0])

    assert torch.equal(shift_sigma(sigma, 1.0), sigma)
    assert shift_sigma(sigma, 4.0)[[0, 2]].tolist() == [0.0, 1.0]


def test_token_shift_goes_through_its_two_points_and_is_clamped():
    shift = TokenShift(base_tokens=256, base_mu=0.5, max_tokens=4096, max_mu=1.15)

    assert shift.factor(256) == pytest.approx(math.exp(0.5))
    assert shift.factor(4096) == pytest.approx(math.exp(1.15))
    assert shift.factor(16) == shift.factor(256)
    assert shift.factor(9999) == shift.factor(4096)


def test_seeded_numbers_depend_on_every_name_and_nothing_else():
    torch.manual_seed(1)
    first = seeded_uniform(8, seed=3, stream="sigma", index=5)
    torch.manual_seed(2)

    assert torch.equal(first, seeded_uniform(8, seed=3, stream="sigma", index=5))
    for other in ({"seed": 4}, {"stream": "noise"}, {"index": 6}):
        assert not torch.equal(
            first, seeded_uniform(8, **{"seed": 3, "stream": "sigma", "index": 5, **other})
        )


def test_a_batch_of_uniform_numbers_has_one_in_each_equal_interval():
    numbers = seeded_uniform(16, seed=0, stream="sigma", index=0)

    assert sorted((numbers * 16).long().tolist()) == list(range(16))


@pytest.mark.parametrize("bad", [lambda: LogitNormal(std=0.0), lambda: ConstantShift(0.0)])
def test_impossible_distributions_are_refused(bad):
    with pytest.raises(ValueError, match="must be positive"):
        bad()
