"""Directions of distribution matching and of guidance: signs, sizes, and the clock in which sigma is cleaner."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from loralab.families.z_image import ZImage
from loralab.flow import interpolate, seeded_noise
from loralab.flow.solver import Velocity
from loralab.objectives.distribution import guidance_direction, matching_direction

SHAPE = (6, 2, 3, 3)
SIGMA = torch.tensor([0.05, 0.2, 0.4, 0.6, 0.8, 0.95])


def noise(index: int) -> Tensor:
    return seeded_noise(SHAPE, seed=0, stream="directions", index=index)


def gaussian(mean: float, *, deviation: float = 0.5) -> Velocity:
    """The exact velocity of data ~ N(mean, deviation^2).

    noisy ~ N(m, s^2) with m = (1 - sigma) mean and s^2 = (1 - sigma)^2 deviation^2 + sigma^2;
    E[noise - data | noisy] = -mean + (sigma - (1 - sigma) deviation^2) / s^2 * (noisy - m)
    """

    def velocity(noisy: Tensor, sigma: Tensor) -> Tensor:
        level = sigma.view(-1, 1, 1, 1)
        variance = (1 - level) ** 2 * deviation**2 + level**2
        slope = (level - (1 - level) * deviation**2) / variance
        return -mean + slope * (noisy - (1 - level) * mean)

    return velocity


def test_there_is_no_push_where_real_and_fake_agree():
    direction = matching_direction(
        noise(0), real=gaussian(1.0), fake=gaussian(1.0), noise=noise(1), sigma=SIGMA, floor=0.3
    )

    assert direction.delta.count_nonzero() == 0
    assert direction.rel_gap.count_nonzero() == 0
    torch.testing.assert_close(direction.cosine, torch.ones(6))


@pytest.mark.parametrize("mean", [2.0, -2.0])
def test_pictures_are_pushed_from_their_own_mean_to_the_real_one(mean: float):
    data = 0.5 * noise(0)

    direction = matching_direction(
        data, real=gaussian(mean), fake=gaussian(0.0), noise=noise(1), sigma=SIGMA, floor=0.3
    )

    assert (direction.delta.sign() == torch.sign(torch.tensor(mean))).all()
    assert (direction.rel_gap > 0).all()


def test_pushes_followed_for_long_carry_the_pictures_to_the_real_distribution():
    data = 0.5 * noise(0)

    for index in range(400):
        fake = gaussian(data.mean().item())
        sigma = SIGMA[torch.randperm(6)]
        data = (
            data
            + 0.05
            * matching_direction(
                data, real=gaussian(1.5), fake=fake, noise=noise(index), sigma=sigma, floor=0.3
            ).delta
        )

    assert data.mean().item() == pytest.approx(1.5, abs=0.02)


def test_the_push_is_the_difference_of_beliefs_over_the_mean_distance_or_the_floor():
    data, fresh = noise(0), noise(1)
    noisy, level = interpolate(data, fresh, SIGMA), SIGMA.view(-1, 1, 1, 1)
    believed = noisy - level * gaussian(1.0)(noisy, SIGMA)
    fake = noisy - level * gaussian(0.0)(noisy, SIGMA)
    distance = (data - believed).abs().mean((1, 2, 3), keepdim=True)
    floor = distance.median().item()

    delta = matching_direction(
        data, real=gaussian(1.0), fake=gaussian(0.0), noise=fresh, sigma=SIGMA, floor=floor
    ).delta

    assert (distance < floor).any()
    assert (distance > floor).any()
    torch.testing.assert_close(delta, (believed - fake) / distance.clamp_min(floor), atol=1e-5, rtol=1e-5)


def test_a_push_carries_no_gradient_and_the_networks_are_asked_in_fp32():
    weight, told = torch.ones((), requires_grad=True), []

    def network(noisy: Tensor, sigma: Tensor) -> Tensor:
        told.append((noisy.dtype, noisy.requires_grad))
        return (weight * noisy).bfloat16()

    delta = matching_direction(
        noise(0).bfloat16().requires_grad_(), real=network, fake=gaussian(0.0), noise=noise(1), sigma=SIGMA
    ).delta

    assert told == [(torch.float32, False)]
    assert delta.dtype == torch.float32
    assert not delta.requires_grad


@pytest.mark.parametrize("alpha", [1.5, 3.0])
def test_strength_is_alpha_less_one_and_so_the_familys_guidance_scale(alpha: float):
    data, fresh, level = noise(0), noise(1), SIGMA.view(-1, 1, 1, 1)
    conditional, unconditional = gaussian(1.0), gaussian(0.0)
    noisy = interpolate(data, fresh, SIGMA)
    plain = noisy - level * conditional(noisy, SIGMA)
    velocity = ZImage.guide(
        ZImage.__new__(ZImage), conditional(noisy, SIGMA), unconditional(noisy, SIGMA), alpha - 1
    )

    delta = guidance_direction(
        data, conditional=conditional, unconditional=unconditional, noise=fresh, sigma=SIGMA,
        step_sigma=torch.ones(6), strength=alpha - 1, floor=0.3,
    )  # fmt: skip

    weight = 1 / (data - plain).abs().mean((1, 2, 3), keepdim=True).clamp_min(0.3)
    torch.testing.assert_close(delta, weight * (noisy - level * velocity - plain), atol=1e-5, rtol=1e-5)


def test_guidance_of_strength_zero_is_off_and_asks_nobody():
    def nobody(noisy: Tensor, sigma: Tensor) -> Tensor:
        raise AssertionError

    delta = guidance_direction(
        noise(0), conditional=nobody, unconditional=nobody, noise=noise(1), sigma=SIGMA,
        step_sigma=torch.ones(6), strength=0.0,
    )  # fmt: skip

    assert delta.count_nonzero() == 0


def test_guidance_is_asked_for_at_cleaner_levels_than_the_steps_own_only():
    step_sigma = SIGMA.clone()
    noisier = SIGMA.clone()
    noisier[3] += 0.01
    settings = {
        "conditional": gaussian(1.0), "unconditional": gaussian(0.0), "noise": noise(1), "strength": 1.0,
    }  # fmt: skip

    guidance_direction(noise(0), sigma=0.9 * SIGMA, step_sigma=step_sigma, **settings)

    with pytest.raises(ValueError, match="not above the step's own"):
        guidance_direction(noise(0), sigma=noisier, step_sigma=step_sigma, **settings)
    with pytest.raises(ValueError, match=r"strength=-0\.5"):
        guidance_direction(noise(0), sigma=SIGMA, step_sigma=step_sigma, **(settings | {"strength": -0.5}))
