"""The straight path between data and noise (rectified flow, Liu et al. 2022, arXiv:2209.03003).

    noisy    = (1 - sigma) * latents + sigma * noise
    velocity = d noisy / d sigma = noise - latents

so that `latents = noisy - sigma * velocity` wherever the velocity is exact.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def expand(sigma: Float[Tensor, " b"], like: Float[Tensor, " b ..."]) -> Float[Tensor, " b ..."]:
    """Views sigma `[b]` as `[b, 1, ...]` with as many axes as `like`."""
    return sigma.to(like.device, like.dtype).view(-1, *[1] * (like.ndim - 1))


def interpolate(
    latents: Float[Tensor, " b ..."], noise: Float[Tensor, " b ..."], sigma: Float[Tensor, " b"]
) -> Float[Tensor, " b ..."]:
    """Puts latents at noise level sigma: data at 0, noise at 1."""
    level = expand(sigma, latents)
    return (1 - level) * latents + level * noise


def target_velocity(
    latents: Float[Tensor, " b ..."], noise: Float[Tensor, " b ..."]
) -> Float[Tensor, " b ..."]:
    """Gives what the network regresses: noise - data."""
    return noise - latents


def clean_estimate(
    noisy: Float[Tensor, " b ..."], velocity: Float[Tensor, " b ..."], sigma: Float[Tensor, " b"]
) -> Float[Tensor, " b ..."]:
    """Gives the data that a velocity at sigma points to: noisy - sigma * velocity."""
    return noisy - expand(sigma, noisy) * velocity
