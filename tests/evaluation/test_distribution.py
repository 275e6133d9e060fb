from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from loralab.errors import UserError
from loralab.evaluation.distribution import (
    Reference,
    drift,
    laplacian_energy,
    nfe_gap,
    share_of_kin,
    sharpness,
)


def normal(count: int, *, width: int = 8, seed: int = 0) -> torch.Tensor:
    """Numbers whose sample mean is 0 and whose sample covariance is the identity, both exactly."""
    raw = torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    centred = raw - raw.mean(0)
    whitened = centred @ torch.linalg.inv(torch.linalg.cholesky(centred.T @ centred / count)).T
    return whitened


def blurred(pixels: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(pixels, 3, stride=1, padding=1)


def test_a_set_is_at_distance_zero_from_itself() -> None:
    vectors = torch.randn(60, 200)

    reference = Reference(vectors)

    assert reference.frechet(vectors) == pytest.approx(0, abs=1e-8)
    assert reference.precision_recall(vectors) == (1, 1)


@pytest.mark.parametrize("num_axes", [2, 8])
def test_the_distance_of_shifted_and_widened_normal_sets_is_the_analytic_one(num_axes: int) -> None:
    vectors = normal(4000)
    shift = torch.tensor([0.0, 3, 0, 0, 0, 0, 4, 0])

    found = Reference(vectors, num_axes=num_axes).frechet(2 * vectors + shift)

    assert found == pytest.approx(25 + 8 * (2 - 1) ** 2, rel=1e-6)


def test_what_the_reference_does_not_vary_in_is_seen_all_the_same() -> None:
    flat = torch.cat([normal(500, width=3), torch.zeros(500, 5, dtype=torch.float64)], dim=1)
    noisy = flat + torch.cat([torch.zeros(500, 3), normal(500, width=5, seed=1)], dim=1)

    assert Reference(flat, num_axes=3).frechet(noisy) == pytest.approx(5, rel=1e-6)


def test_the_distance_of_one_set_does_not_depend_on_what_else_is_compared() -> None:
    truth, near, far = torch.randn(80, 40), torch.randn(80, 40), torch.randn(80, 40) + 1
    reference = Reference(truth)

    first = reference.frechet(near)
    reference.frechet(far)

    assert reference.frechet(near) == first < 0.3 * reference.frechet(far)


def test_the_bias_of_finite_sets_falls_with_their_size() -> None:
    small, large = (Reference(torch.randn(count, 40)).frechet(torch.randn(count, 40)) for count in (50, 800))

    assert 0 < large < small / 4


def test_sets_of_two_sizes_and_too_small_ones_are_refused() -> None:
    with pytest.raises(UserError, match="9 pictures against 10"):
        Reference(torch.randn(10, 4)).frechet(torch.randn(9, 4))
    with pytest.raises(UserError, match="at least 4"):
        Reference(torch.randn(3, 4))


def test_a_collapsed_set_is_precise_and_recalls_little() -> None:
    truth = torch.randn(200, 6)
    collapsed = truth[:1] + 0.01 * torch.randn(200, 6)

    precision, recall = Reference(truth).precision_recall(collapsed)

    assert precision == 1
    assert recall < 0.05


def test_a_set_elsewhere_has_neither_precision_nor_recall() -> None:
    truth = torch.randn(50, 6)

    assert Reference(truth).precision_recall(truth + 100) == (0, 0)


def test_a_ball_reaches_the_third_neighbour_and_no_further() -> None:
    truth = torch.tensor([[0.0], [1], [2], [3]])

    inside, outside = (Reference(truth).precision_recall(torch.full((4, 1), x))[0] for x in (5.9, 6.1))

    assert (inside, outside) == (1, 0)


def test_kin_are_told_from_others_by_the_plane_between_them() -> None:
    kin, others = torch.randn(30, 5), torch.randn(90, 5) + 20
    drawn = torch.cat([torch.randn(6, 5), torch.randn(2, 5) + 20])

    assert share_of_kin(drawn, kin=kin, others=others) == pytest.approx(6 / 8)


def test_blur_lowers_sharpness_and_noise_raises_it() -> None:
    pixels = torch.rand(4, 3, 32, 32)

    assert sharpness(pixels, reference=pixels) == pytest.approx(1)
    assert sharpness(blurred(pixels), reference=pixels) < 0.3
    assert sharpness(pixels + 0.5 * torch.randn_like(pixels), reference=pixels) > 1.5


def test_the_laplacian_of_a_slope_is_nothing_and_of_a_dot_is_known() -> None:
    slope = torch.arange(8.0).expand(1, 3, 8, 8)
    dot = torch.zeros(1, 1, 5, 5)
    dot[..., 2, 2] = 1

    assert laplacian_energy(slope).item() == pytest.approx(0)
    assert laplacian_energy(dot).item() == pytest.approx((16 + 4) / 9)


def test_drift_is_relative_to_the_spread_of_the_reference() -> None:
    reference = torch.randn(8, 3, 16, 16)

    assert drift(reference, reference=reference) == 0
    assert drift(reference + 0.5, reference=reference) == pytest.approx(0.5, rel=0.05)
    assert drift(10 * (reference + 0.5), reference=10 * reference) == pytest.approx(0.5, rel=0.05)
    assert drift(reference + 7.5, reference=reference + 7) == pytest.approx(0.5, rel=0.05)


def test_the_gap_is_few_over_many() -> None:
    assert nfe_gap(3.0, 2.0) == pytest.approx(1.5)
    assert math.isfinite(nfe_gap(1.0, 0.0))
