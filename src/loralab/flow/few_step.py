"""The grid of a few-step model, and what it draws on the way from noise to data.

    sigma_k = shift * s_k / (1 + (shift - 1) * s_k),    s_k = 1 - k / n,    k = 0 ... n

so that sigma_0 = 1 is noise and sigma_n = 0 is data. The last stride is long (0.3 for 8 steps at shift 3): a network
that predicts the mean of all pictures behind a noisy one blurs there, one that was distilled to few steps does not.

    noisy_{k+1} = noisy_k + (sigma_{k+1} - sigma_k) * velocity_k        Euler's method, nothing is noised again
    prediction_k = noisy_k - sigma_k * velocity_k                       the picture that step k already believes in

Papers that distil (Decoupled DMD among them) mostly let time run from 0 for noise to 1 for data: their t is our
1 - sigma, and what they call later or greater is a smaller sigma here.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.flow.path import clean_estimate
from loralab.flow.shift import shift_sigma
from loralab.flow.solver import Velocity


class Rollout(NamedTuple):
    """What a few-step model draws from noise, step by step, in fp32.

    Attributes:
        states: `noisy_k` at each sigma; the first is the noise, the last the picture.
        predictions: the data prediction made at each state but the last, which has none left to make.
    """

    states: Float[Tensor, " num_steps_plus_1 b c h w"]
    predictions: Float[Tensor, " num_steps b c h w"]


def few_step_sigmas(num_steps: int, *, shift: float) -> Float[Tensor, " num_steps_plus_1"]:
    """Gives the sigmas from 1 down to 0 of `num_steps` steps at a constant shift, computed in float64."""
    if num_steps < 1:
        raise ValueError(f"num_steps={num_steps} must be at least 1")
    equal = torch.linspace(1, 0, num_steps + 1, dtype=torch.float64)
    return shift_sigma(equal, shift).float()


@torch.no_grad()
def rollout(
    velocity: Velocity,
    noise: Float[Tensor, " b c h w"],
    *,
    sigmas: Float[Tensor, " num_steps_plus_1"],
) -> Rollout:
    """Draws with `velocity(noisy [b, c, h, w], sigma [b])` over decreasing `sigmas` and keeps every step."""
    states, predictions = [noise.float()], []
    for sigma, next_sigma in itertools.pairwise(sigmas.to(noise.device)):
        noisy, level = states[-1], sigma.expand(len(noise))
        # bf16 would lose the picture in noisy - sigma * velocity, a small difference of large numbers.
        answer = velocity(noisy, level).float()
        predictions.append(clean_estimate(noisy, answer, level))
        states.append(noisy + (next_sigma - sigma) * answer)
    return Rollout(torch.stack(states), torch.stack(predictions))
