"""Where to push a drawn picture so that drawn pictures become distributed like real ones (Decoupled DMD).

A picture `data` that the student drew is noised, and velocity networks say which pictures they believe to be behind it:

    noisy = (1 - sigma) * data + sigma * noise
    believed(v) = noisy - sigma * v(noisy, sigma)

Distribution matching (Yin et al. 2024, arXiv:2405.14867) goes from what a network believes that was fitted on the
student's own pictures, the fake one, to what a network fitted on real pictures believes:

    delta = w * (believed(real) - believed(fake)) = w * sigma * (v_fake - v_real)

Guidance augmentation pushes further where guidance would (strength = alpha - 1, which is diffusers' guidance_scale
for Z-Image, whose alpha is 1 + guidance_scale):

    delta = w * strength * (believed(conditional) - believed(unconditional))
          = w * strength * sigma * (v_unconditional - v_conditional)

with one weight per sample, so that pictures of every kind and sigma are pushed alike:

    w = 1 / max(mean |data - believed(real or conditional)|, floor)

Matching takes sigma from its whole range. Guidance takes it below the sigma at which the student drew `data`: there
its picture is settled at the coarser scales, and only finer ones are left to sharpen. Decoupled DMD says this as
tau > t, with time running from 0 for noise to 1 for data; in the clock of this house that is sigma < step_sigma.

Differences are taken of velocities and in fp32: two beliefs in bf16 differ by less than they are rounded.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.flow.path import clean_estimate, expand, interpolate
from loralab.flow.solver import Velocity

FLOOR = 0.3
"""Least mean distance in the weight, for latents of deviation about 1; at 0.05 training was seen to be unstable."""


class Direction(NamedTuple):
    """A push in data space, and how far the fake network is from the real one.

    Attributes:
        delta: what to add to `data`.
        rel_gap: rms(v_real - v_fake) / rms(v_real) of each sample; small when drawn and real pictures are alike.
        cosine: between v_real and v_fake of each sample; when it falls, the fake network lags behind the student.
    """

    delta: Float[Tensor, " b c h w"]
    rel_gap: Float[Tensor, " b"]
    cosine: Float[Tensor, " b"]


@torch.no_grad()
def matching_direction(
    data: Float[Tensor, " b c h w"],
    *,
    real: Velocity,
    fake: Velocity,
    noise: Float[Tensor, " b c h w"],
    sigma: Float[Tensor, " b"],
    floor: float = FLOOR,
) -> Direction:
    """Gives the push from what the fake network believes to what the real one believes; 0 where they agree."""
    data, sigma = data.detach().float(), _beside(data, sigma)
    noisy = interpolate(data, noise.float(), sigma)
    v_real, v_fake = real(noisy, sigma).float(), fake(noisy, sigma).float()
    weight = _weight(data, believed=clean_estimate(noisy, v_real, sigma), floor=floor)
    gap, size = (v_fake - v_real).flatten(1), v_real.flatten(1)
    return Direction(
        delta=weight * expand(sigma, noisy) * (v_fake - v_real),
        rel_gap=gap.norm(dim=1) / size.norm(dim=1).clamp_min(1e-12),
        cosine=torch.nn.functional.cosine_similarity(size, v_fake.flatten(1), dim=1),
    )


@torch.no_grad()
def guidance_direction(
    data: Float[Tensor, " b c h w"],
    *,
    conditional: Velocity,
    unconditional: Velocity,
    noise: Float[Tensor, " b c h w"],
    sigma: Float[Tensor, " b"],
    step_sigma: Float[Tensor, " b"],
    strength: float,
    floor: float = FLOOR,
) -> Float[Tensor, " b c h w"]:
    """Gives the push of guidance at sigmas cleaner than the step's own; strength 0 is off and asks no network.

    Args:
        data: what the student drew in one step from `step_sigma`.
        conditional: the real network with the caption.
        unconditional: the real network with the empty caption.
        noise: fresh noise.
        sigma: where the networks are asked, nowhere above `step_sigma`; both on the CPU spare the GPU a wait.
        step_sigma: the sigma from which the student drew `data`.
        strength: alpha - 1.
        floor: least mean distance in the weight.
    """
    if strength < 0 or bool((sigma > step_sigma).any()):
        raise ValueError(
            f"strength={strength} must not be negative and sigma (at most {sigma.max():.4f}) not above the step's own"
            f" (at least {step_sigma.min():.4f}), sample by sample: guidance sharpens what is already settled"
        )
    data, level = data.detach().float(), _beside(data, sigma)
    if strength == 0:
        return torch.zeros_like(data)
    noisy = interpolate(data, noise.float(), level)
    with_caption, without = conditional(noisy, level).float(), unconditional(noisy, level).float()
    weight = _weight(data, believed=clean_estimate(noisy, with_caption, level), floor=floor)
    return weight * strength * expand(level, noisy) * (without - with_caption)


def _beside(data: Float[Tensor, " b c h w"], sigma: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Gives sigma in fp32 where the data is, without the host waiting for the device."""
    return sigma.to(data.device, torch.float32, non_blocking=True)


def _weight(
    data: Float[Tensor, " b c h w"], *, believed: Float[Tensor, " b c h w"], floor: float
) -> Float[Tensor, " b 1 1 1"]:
    """Gives one over the mean distance of each sample, where that is above the floor."""
    return 1 / (data - believed).abs().mean((1, 2, 3), keepdim=True).clamp_min(floor)
