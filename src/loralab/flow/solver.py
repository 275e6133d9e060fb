"""Euler's method along the path from noise (sigma 1) to data (sigma 0).

noisy_{k+1} = noisy_k + (sigma_{k+1} - sigma_k) * velocity(noisy_k, sigma_k)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]


def euler(
    velocity: Velocity, noise: Float[Tensor, " b ..."], sigmas: Float[Tensor, " num_steps_plus_1"]
) -> Float[Tensor, " b ..."]:
    """Integrates `velocity(noisy [b, ...], sigma [b])` over decreasing `sigmas`; returns latents at the last one."""
    noisy = noise
    for sigma, next_sigma in itertools.pairwise(sigmas):
        noisy = noisy + (next_sigma - sigma) * velocity(noisy, sigma.expand(len(noisy)))
    return noisy
