"""The per-sample velocity loss.

    loss_i = sum(mask_i * (velocity_i - (noise_i - latents_i))^2) / sum(mask_i)

averaged over channels, with mask 1 where there is none. Every sample counts alike, whatever its mask's area.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def velocity_loss(
    velocity: Float[Tensor, " b c h w"],
    target: Float[Tensor, " b c h w"],
    *,
    mask: Float[Tensor, " b 1 h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Gives the mean squared error of each sample, inside its mask, in fp32."""
    error = (velocity.float() - target.float()).square().mean(1, keepdim=True)
    if mask is None:
        return error.flatten(1).mean(1)
    area = mask.flatten(1).sum(1).clamp_min(1e-6)
    return (error * mask).flatten(1).sum(1) / area
