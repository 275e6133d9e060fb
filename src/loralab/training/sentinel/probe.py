"""Compares the adapted network with the untouched base on prompts that should stay as they are.

The base draws a small picture of each prompt once. At validation the velocity on those pictures, noised to three levels
by fixed noise, is compared with the base's; at snapshots the pictures are drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.adapter import disabled
from loralab.denoiser import Denoiser
from loralab.evaluation import looks
from loralab.evaluation.drawing import Prompts
from loralab.evaluation.looks import Latents, Watched
from loralab.evaluation.sampler import evaluating
from loralab.flow import interpolate, seeded_noise
from loralab.training.watched import PRIOR

if TYPE_CHECKING:
    from loralab.data.collect import Collection
    from loralab.training.sentinel.settings import SentinelSettings

LEVELS = (0.3, 0.6, 0.9)


def prior_texts(settings: SentinelSettings, collection: Collection) -> tuple[str, ...]:
    """Chooses the prompts: those that were given, the regularisation pictures' captions, or built-in ones."""
    if settings.action == "none":
        return ()
    captions = dict.fromkeys(record.prompts[0] for record in collection.regularization)
    return tuple(settings.prior or captions or PRIOR)[: settings.num_prompts]


class VelocityProbe:
    """The base's answers to a few prompts, and how far the adapter's are from them."""

    def __init__(
        self, denoiser: Denoiser, *, texts: Sequence[str], embeds: Sequence[Tensor], num_steps: int
    ) -> None:
        """Draws nothing before `start`."""
        self._denoiser, self._num_steps = denoiser, num_steps
        self._watched = Watched(Prompts(tuple(texts), tuple(embeds), None))
        self._pictures: Latents | None = None
        self._velocities: list[Tensor] = []

    def start(self) -> None:
        """Lets the base draw and answer; the adapter is off meanwhile."""
        with disabled(self._denoiser.transformer):
            self._pictures = looks.drawn_latents(self._denoiser, self._watched, num_steps=self._num_steps)
            self._velocities = [self._velocity(level) for level in LEVELS]

    def drift(self) -> float:
        """Gives rms(velocity - base's) / rms(base's) at the noise level where it is largest."""
        pairs = zip(LEVELS, self._velocities, strict=True)
        return max(looks.relative_distance(self._velocity(level), reference=base) for level, base in pairs)

    def looks(self) -> dict[str, float]:
        """Draws again; gives detail and spread over the base's, and how far the mean colour has moved."""
        assert self._pictures is not None
        now, base = (
            looks.drawn_latents(self._denoiser, self._watched, num_steps=self._num_steps),
            self._pictures,
        )
        moved = (now.mean((0, 2, 3)) - base.mean((0, 2, 3))).square().mean().sqrt() / base.std().clamp(
            min=1e-12
        )
        return {
            "detail": looks.detail(now, reference=base),
            "spread": looks.spread(now, reference=base),
            "colour": moved.item(),
        }

    @torch.no_grad()
    def _velocity(self, level: float) -> Float[Tensor, " b c h w"]:
        assert self._pictures is not None
        device, parts = self._denoiser.device, []
        noise = seeded_noise(self._pictures.shape, seed=0, stream="sentinel", index=0)
        with evaluating(self._denoiser.transformer):
            for index, embeds in enumerate(self._watched.prompts.embeds):
                one = slice(index, index + 1)
                sigma = torch.full((1,), level, device=device)
                noisy = interpolate(self._pictures[one].to(device), noise[one].to(device), sigma)
                parts.append(
                    self._denoiser.velocity(noisy, sigma=sigma, prompt_embeds=[embeds.to(device)]).cpu()
                )
        return torch.cat(parts)
