"""Flow matching: regress the velocity at random noise levels (Lipman et al. 2022, arXiv:2210.02747).

    noisy = (1 - sigma) * latents + sigma * noise
    loss  = mean_i weight_i * weighting(sigma_i) * |velocity(noisy_i, sigma_i, prompt_i) - (noise_i - latents_i)|^2

`weight_i` is the sample's own (1, or the weight of the regularisation set). All randomness is a function of
(seed, batch.index), so that trials of a study are paired and a resumed run repeats an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from loralab.denoiser import Denoiser
from loralab.flow import seeded_noise, seeded_uniform
from loralab.objectives.objective import (
    LOSS,
    picture_errors,
    sent,
    velocity_errors,
)
from loralab.objectives.regression import Regression

if TYPE_CHECKING:
    from loralab.data.batch import Batch


class FlowMatching(Regression[Denoiser]):
    """Trains the adapter inside a denoiser's transformer by flow matching."""

    def validation_errors(
        self, batch: Batch, *, levels: Sequence[float]
    ) -> dict[str, Float[Tensor, " num_levels b"]]:
        """Gives each picture's error at each noise level."""
        return {LOSS: picture_errors(self.judged, batch, levels=levels)}

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Gives `loss`, which is minimised, and `error`, the same without weights, which compares across settings."""
        noise = seeded_noise(batch.latents.shape, seed=self.seed, stream="noise", index=batch.index)
        sigma = self._drawn_sigmas(batch)
        noise = sent(noise, batch.latents.device)
        errors = velocity_errors(self.denoiser, batch, noise=noise, sigma=sigma)
        loss = (batch.weight * self.weighting.weight(sigma) * errors).mean()
        return {"loss": loss, "error": errors.detach().mean()}

    def _drawn_sigmas(self, batch: Batch) -> Tensor:
        uniform = seeded_uniform(len(batch.latents), seed=self.seed, stream="sigma", index=batch.index)
        tokens = self.denoiser.num_tokens(batch.latents.shape)
        return sent(self.sigmas.quantile(uniform, num_tokens=tokens), batch.latents.device)


def assistant(denoiser: Denoiser, **settings: Any) -> FlowMatching:
    """Gives flow matching under the name that files know an assistant by.

    On a few-step checkpoint's own pictures its optimum is that checkpoint as a velocity regression model: what an
    adapter may be trained on top of, and nothing to draw with.
    """
    return FlowMatching(denoiser, **settings)
