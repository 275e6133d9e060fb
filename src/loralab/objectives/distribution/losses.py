"""The losses of distribution matching, each one number per sample: a mean over c, h and w, in fp32.

    pushed    1/2 mean (data - stop(data + delta))^2        d pushed_i / d data_i = -delta_i / (c h w)
    coupled   mean (v(noisy, sigma) - (noise - data))^2     noisy from noise and data that belong together
    anchor    mean (v(state, sigma) - stop(v_reference(state, sigma)))^2
    fake      mean (v(noisy, sigma) - (noise - prediction))^2     noisy from a prediction and fresh noise

The coupled loss and the fake loss are the velocity loss with different pairs. (noise, data) of the coupled one are the
two ends of one path of a teacher's sampler, so that noisy determines data and there is no mean to blur to; the fake
network is to learn just that mean, over whatever the student draws.

Whoever passes velocities of one network under several adapters: `reference` is asked first, and `velocity` last, so
that the adapters are set for the backward pass when a loss returns.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.flow.path import interpolate, target_velocity
from loralab.flow.solver import Velocity
from loralab.objectives.loss import velocity_loss


def pushed_loss(data: Float[Tensor, " b c h w"], delta: Float[Tensor, " b c h w"]) -> Float[Tensor, " b"]:
    """Gives mean(delta^2) / 2 of each sample, with -delta / (c h w) as its gradient on `data`.

    A sample's loss is a mean over its elements like every other one, so weights between losses do not depend on the
    size of pictures. The gradient is exact: data and data + delta are never subtracted.
    """
    push = delta.detach().float()
    moved = data.float() - data.detach().float()
    return (push.square() / 2 - push * moved).flatten(1).mean(1)


def coupled_loss(
    velocity: Velocity,
    *,
    noise: Float[Tensor, " b c h w"],
    data: Float[Tensor, " b c h w"],
    sigma: Float[Tensor, " b"],
) -> Float[Tensor, " b"]:
    """Gives the velocity's error on the straight line between the ends of one path; 0 for noise - data."""
    noise, data = noise.detach().float(), data.detach().float()
    noisy = interpolate(data, noise, sigma)
    return velocity_loss(velocity(noisy, sigma), target_velocity(data, noise))


def anchor_loss(
    velocity: Velocity,
    reference: Velocity,
    *,
    states: Float[Tensor, " b c h w"],
    sigma: Float[Tensor, " b"],
) -> Float[Tensor, " b"]:
    """Gives the distance from a frozen network's velocity at states that this network itself reaches; 0 if equal."""
    states = states.detach().float()
    with torch.no_grad():
        target = reference(states, sigma)
    return velocity_loss(velocity(states, sigma), target)


def fake_loss(
    fake: Velocity,
    *,
    predictions: Float[Tensor, " b c h w"],
    noise: Float[Tensor, " b c h w"],
    sigma: Float[Tensor, " b"],
) -> Float[Tensor, " b"]:
    """Gives the flow-matching error of the fake network on the student's data predictions, which get no gradient."""
    return coupled_loss(fake, noise=noise, data=predictions, sigma=sigma)
