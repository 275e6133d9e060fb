"""The LTX trainer's sigmas against its own formula, step by step, on a fine grid of normal and uniform numbers."""

import pytest
import torch

from loralab.flow import ShiftedLogitNormal
from loralab.flow.sigmas import density

UNIFORM = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000


def as_the_trainer_draws(mu, *, std=1.0, eps=1e-3, share=0.1, count=1_000_000):
    """All sigmas of the formula for equally likely numbers, sorted: 1 - share of them normal, share uniform."""
    grid = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    num_uniform = round(share * count)
    z = torch.special.ndtri((torch.arange(count - num_uniform).double() + 0.5) / (count - num_uniform))
    x = torch.sigmoid(mu + std * z)
    low, high = torch.sigmoid(torch.tensor([mu - 2.5758 * std, mu + 3.0902 * std], dtype=torch.float64))
    y = (x - low) / (high - low)
    y = torch.where(y >= eps, y, 2 * eps - y).clamp(0, 1)
    flat = (1 - eps) * (torch.arange(num_uniform).double() + 0.5) / max(num_uniform, 1) + eps
    return grid, torch.cat([y, flat]).sort().values


@pytest.mark.parametrize(
    ("num_tokens", "mu", "settings"),
    [
        (4032, 2.0271, {}),
        (126, 0.6285, {}),
        (8160, 3.5052, {}),
        (1024, 0.95, {"std": 0.5, "uniform_share": 0.0}),
        (4096, 2.05, {"uniform_share": 1.0}),
    ],
)
def test_quantiles_are_those_of_the_trainers_formula(num_tokens, mu, settings):
    sampler = ShiftedLogitNormal(**settings)
    grid, drawn = as_the_trainer_draws(
        sampler.mu(num_tokens), std=settings.get("std", 1.0), share=settings.get("uniform_share", 0.1)
    )

    sigma = sampler.quantile(grid[::100], num_tokens=num_tokens)

    assert sampler.mu(num_tokens) == pytest.approx(mu, abs=1e-4)
    torch.testing.assert_close(sigma, drawn[::100], atol=2e-4, rtol=0)


@pytest.mark.parametrize(("num_tokens", "mean"), [(4032, 0.741), (3570, 0.727), (126, 0.581)])
def test_the_mean_sigma_grows_with_the_number_of_tokens(num_tokens, mean):
    sigma = ShiftedLogitNormal().quantile(UNIFORM, num_tokens=num_tokens)

    assert sigma.mean().item() == pytest.approx(mean, abs=5e-4)


def test_sigmas_rise_from_eps_and_a_thousandth_of_the_normal_share_is_one():
    sigma = ShiftedLogitNormal().quantile(UNIFORM, num_tokens=4032)

    assert (sigma.diff() >= 0).all()
    assert sigma[0] == pytest.approx(1e-3, abs=2e-4) and sigma[-1] == 1
    assert (sigma == 1).double().mean().item() == pytest.approx(0.9e-3, abs=5e-5)


def test_a_film_of_a_hundred_thousand_tokens_has_finite_sigmas_where_the_vendors_are_not():
    sampler = ShiftedLogitNormal()

    sigma = sampler.quantile(UNIFORM[::10], num_tokens=100_000)

    edges = torch.sigmoid(torch.tensor([sampler.mu(100_000) - 2.5758, sampler.mu(100_000) + 3.0902]))
    assert edges[0] == edges[1]
    assert sigma.isfinite().all() and (sigma.diff() >= 0).all()
    assert 0.5 < sigma.mean() < 1


def test_its_density_is_a_density():
    _, value = density(ShiftedLogitNormal(), num_tokens=1024)

    assert sum(value) / len(value) == pytest.approx(1.0)
    assert min(value) > 0.05


@pytest.mark.parametrize("bad", [{"std": 0.0}, {"uniform_share": 1.1}, {"eps": 0.0}])
def test_impossible_distributions_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        ShiftedLogitNormal(**bad)
