"""The losses of distribution matching: what they are zero for, and where their gradients point."""

from __future__ import annotations

import torch
from torch import Tensor

from loralab.flow import interpolate
from loralab.objectives.distribution import anchor_loss, coupled_loss, fake_loss, pushed_loss

SIGMA = torch.tensor([0.3, 0.75, 1.0])


def test_following_the_gradient_of_the_pushed_loss_is_the_push_over_the_number_of_elements():
    data, delta = (1000 * torch.randn(3, 2, 4, 4)).requires_grad_(), torch.randn(3, 2, 4, 4)

    loss = pushed_loss(data, delta)
    loss.sum().backward()

    assert loss.shape == (3,)
    torch.testing.assert_close(loss, delta.square().mean((1, 2, 3)) / 2)
    assert torch.equal(data.grad, -delta / 32)


def test_the_push_itself_gets_no_gradient():
    data, delta = torch.randn(3, 2, 4, 4, requires_grad=True), torch.randn(3, 2, 4, 4, requires_grad=True)

    pushed_loss(data, delta).sum().backward()

    assert delta.grad is None


def test_the_straight_velocity_of_a_pair_has_no_coupled_loss():
    noise, data = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    told: list[Tensor] = []

    def straight(noisy: Tensor, sigma: Tensor) -> Tensor:
        told.append(noisy)
        return noise - data

    loss = coupled_loss(straight, noise=noise, data=data, sigma=SIGMA)

    assert loss.tolist() == [0.0, 0.0, 0.0]
    assert torch.equal(told[0], interpolate(data, noise, SIGMA))
    assert (coupled_loss(lambda x, s: data - noise, noise=noise, data=data, sigma=SIGMA) > 1).all()


def test_equal_velocities_have_no_anchor_loss_and_the_reference_is_asked_first_and_without_gradient():
    weight, order = torch.tensor(2.0, requires_grad=True), []

    def network(name: str):
        def velocity(noisy: Tensor, sigma: Tensor) -> Tensor:
            order.append((name, torch.is_grad_enabled()))
            return weight * noisy

        return velocity

    loss = anchor_loss(network("own"), network("reference"), states=torch.randn(3, 2, 4, 4), sigma=SIGMA)
    loss.sum().backward()

    assert loss.tolist() == [0.0, 0.0, 0.0]
    assert order == [("reference", False), ("own", True)]
    assert weight.grad == 0


def test_the_anchor_loss_is_the_mean_squared_distance_of_velocities():
    states = torch.randn(3, 2, 4, 4)

    loss = anchor_loss(lambda x, s: x + 2, lambda x, s: x, states=states, sigma=SIGMA)

    torch.testing.assert_close(loss, torch.full((3,), 4.0))


def test_the_fake_network_learns_the_predictions_which_learn_nothing():
    predictions, noise = torch.randn(3, 2, 4, 4, requires_grad=True), torch.randn(3, 2, 4, 4)
    weight = torch.zeros((), requires_grad=True)

    exact = fake_loss(
        lambda x, s: noise - predictions.detach(), predictions=predictions, noise=noise, sigma=SIGMA
    )
    fake_loss(lambda x, s: weight * x, predictions=predictions, noise=noise, sigma=SIGMA).sum().backward()

    assert exact.tolist() == [0.0, 0.0, 0.0]
    assert predictions.grad is None
    assert weight.grad != 0
