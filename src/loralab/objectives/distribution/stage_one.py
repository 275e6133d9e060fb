"""The first stage: flow matching on the score network, where velocities are means and the lesson is the concept alone.

    L = mean w |v(concept) - (noise - concept)|^2 + weight * mean w |v(prior) - (noise - prior)|^2

`prior` is what the bare checkpoint draws for prompts without the concept: without it, those are lost.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from loralab.flow import SigmaSampler, seeded_noise, seeded_uniform
from loralab.flow.weighting import Weighting
from loralab.objectives.distribution.bank import Bank
from loralab.objectives.distribution.banks import Banks
from loralab.objectives.distribution.settings import GRADIENT_COST
from loralab.objectives.distribution.stage_two import Signals
from loralab.objectives.objective import sent, velocity_errors

if TYPE_CHECKING:
    from loralab.data.batch import Batch
    from loralab.denoiser import Denoiser


@dataclass(frozen=True)
class StageOne:
    """Adds the gradients of the first stage; whoever uses it steps the optimizer.

    Attributes:
        denoiser: the score network, whose active adapters learn.
        banks: reads the bank.
        prior: what the bare checkpoint draws; None where it does not count.
        prior_weight: of its loss.
        sigmas, weighting: of the flow matching.
        seed: of the run.
        accumulate: micro-batches of one step.
    """

    denoiser: Denoiser
    banks: Banks
    prior: Bank | None
    prior_weight: float
    sigmas: SigmaSampler
    weighting: Weighting
    seed: int
    accumulate: int

    @property
    def cost(self) -> float:
        """Forward passes for each picture of a step, one with a backward pass counting three."""
        return GRADIENT_COST * (1.0 if self.prior is None else 2.0)

    def micro_step(self, batch: Batch) -> Signals:
        """Adds the gradients of one micro-batch and of as many pictures of the prior; gives both errors."""
        signals: Signals = {"loss/concept": self._learned(batch, 1.0, stream="")}
        if self.prior is not None:
            entries = self.prior.drawn(len(batch), seed=self.seed, stream="prior", index=batch.index)
            pictures = self.banks.pictures(self.prior, entries)
            drawn = dataclasses.replace(
                batch,
                latents=pictures.latents,
                prompt_embeds=pictures.embeds,
                weight=batch.weight.new_ones(len(batch)),
                mask=None,
            )
            signals["loss/prior"] = self._learned(drawn, self.prior_weight, stream="prior/")
        return signals

    def _learned(self, batch: Batch, factor: float, *, stream: str) -> Tensor:
        """Runs forward and backward pass of one batch; gives the mean error without weights."""
        shape, device = batch.latents.shape, batch.latents.device
        uniform = seeded_uniform(len(batch), seed=self.seed, stream=f"{stream}sigma", index=batch.index)
        sigma = sent(self.sigmas.quantile(uniform, num_tokens=self.denoiser.num_tokens(shape)), device)
        noise = seeded_noise(shape, seed=self.seed, stream=f"{stream}noise", index=batch.index)
        errors = velocity_errors(self.denoiser, batch, noise=sent(noise, device), sigma=sigma)
        loss = (batch.weight * self.weighting.weight(sigma) * errors).mean()
        (factor / self.accumulate * loss).backward()
        return errors.detach().mean()
