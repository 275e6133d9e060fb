"""Guidance of clips, on estimates of the clean latents: away from a negative prompt, and from weakened networks.

    clean  = noisy - sigma velocity        where nothing is given; what is given is clean already
    guided = c + (scale - 1) (c - u) + perturbed (c - p) + (modality - 1) (c - i)
    guided = (rescale std(c) / std(guided) + 1 - rescale) guided

in the letters of `ModalityGuidance`: c conditional, u negative prompt, p without self-attention in some blocks
(spatio-temporal skip guidance, arXiv:2411.18664), i without attention between the modalities. Both deviations are over
a whole clip, what is given and its references included, as in the vendor's sampler (Lightricks/LTX-2, ltx_core/
components/guiders.py); the rescaling is that of arXiv:2305.08891, eq. 15 and 16.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.denoiser import ModalityGuidance

CONDITIONAL, NEGATIVE, PERTURBED, ISOLATED = "conditional", "negative", "perturbed", "isolated"


def passes(guidances: Iterable[ModalityGuidance], *, has_both: bool) -> list[str]:
    """Names the calls of the network that a step needs.

    Args:
        guidances: of the modalities that are generated.
        has_both: video and sound are there; without one of them there is nothing to isolate.
    """
    guidances = list(guidances)
    needed = {
        NEGATIVE: any(guidance.scale != 1 for guidance in guidances),
        PERTURBED: any(guidance.perturbed != 0 for guidance in guidances),
        ISOLATED: has_both and any(guidance.modality != 1 for guidance in guidances),
    }
    return [CONDITIONAL, *(name for name, is_needed in needed.items() if is_needed)]


def guided(
    estimates: Mapping[str, Float[Tensor, " b ..."]],
    guidance: ModalityGuidance,
    *,
    beside: Float[Tensor, " b ..."] | None = None,
) -> Float[Tensor, " b ..."]:
    """Combines estimates of the clean latents.

    Args:
        estimates: of each pass, by the names of `passes`.
        guidance: how far each leads.
        beside: clean latents whose deviation counts as well, such as a reference's.
    """
    conditional = estimates[CONDITIONAL]
    led = conditional
    for name, weight in (
        (NEGATIVE, guidance.scale - 1),
        (PERTURBED, guidance.perturbed),
        (ISOLATED, guidance.modality - 1),
    ):
        if name in estimates and weight:
            led = led + weight * (conditional - estimates[name])
    if not guidance.rescale:
        return led
    ratio = _deviation(conditional, beside) / _deviation(led, beside)
    factor = guidance.rescale * ratio + 1 - guidance.rescale
    return led * factor.view(-1, *[1] * (led.ndim - 1))


def _deviation(latents: Tensor, beside: Tensor | None) -> Float[Tensor, " b"]:
    values = [latents.flatten(1)] + ([] if beside is None else [beside.flatten(1)])
    return torch.cat(values, dim=1).std(dim=1)
