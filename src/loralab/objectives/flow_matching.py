"""Flow matching: regress the velocity at random noise levels (Lipman et al. 2022, arXiv:2210.02747).

    noisy = (1 - sigma) * latents + sigma * noise
    loss  = mean_i weight_i * weighting(sigma_i) * |velocity(noisy_i, sigma_i, prompt_i) - (noise_i - latents_i)|^2

`weight_i` is the sample's own (1, or the weight of the regularisation set). All randomness is a function of
(seed, batch.index), so that trials of a study are paired and a resumed run repeats an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import lightning
import torch
from jaxtyping import Float
from torch import Tensor

from loralab.flow import SigmaSampler, interpolate, seeded_noise, seeded_uniform, target_velocity
from loralab.flow.weighting import Weighting
from loralab.objectives.loss import velocity_loss

if TYPE_CHECKING:
    from loralab.data.batch import Batch
    from loralab.denoiser import Denoiser

VALIDATION_SEED = 20_200
"""Validation noise belongs to the measure, not to the run: the same number for every run and seed."""

OptimizerFactory = Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]
ScheduleFactory = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]


class FlowMatching(lightning.LightningModule):
    """Trains the adapter inside a denoiser's transformer by flow matching."""

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        sigmas: SigmaSampler,
        weighting: Weighting,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory,
        seed: int,
    ) -> None:
        """Takes a denoiser whose transformer already carries the adapter, which alone is optimised."""
        super().__init__()
        self.denoiser = denoiser
        self.transformer = denoiser.transformer
        self.sigmas = sigmas
        self.weighting = weighting
        self.seed = seed
        self.strict_loading = False
        self._optimizer = optimizer
        self._schedule = schedule
        self.train()  # loaded networks are in evaluation mode, in which the adapter's dropout is off

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Gives `loss`, which is minimised, and `error`, the same without weights, which compares across settings."""
        noise = seeded_noise(batch.latents.shape, seed=self.seed, stream="noise", index=batch.index)
        sigma = self._drawn_sigmas(batch)
        errors = self._errors(batch, noise=_sent(noise, batch.latents.device), sigma=sigma)
        loss = (batch.weight * self.weighting.weight(sigma) * errors).mean()
        return {"loss": loss, "error": errors.detach().mean()}

    @torch.no_grad()
    def validation_errors(self, batch: Batch, *, levels: Sequence[float]) -> Float[Tensor, " num_levels b"]:
        """Gives each sample's error at each noise level, on noise that is fixed by the picture's content."""
        noise = torch.stack([self._validation_noise(key, batch) for key in batch.keys])
        noise = _sent(noise, batch.latents.device)
        sigmas = [torch.full((len(noise),), level, device=noise.device) for level in levels]
        return torch.stack([self._errors(batch, noise=noise, sigma=sigma) for sigma in sigmas])

    def configure_optimizers(self) -> Any:
        """Gives the optimizer over the adapter's parameters and its schedule, stepped once per optimizer step."""
        optimizer = self._optimizer([p for p in self.transformer.parameters() if p.requires_grad])
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self._schedule(optimizer), "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the adapter and drops the frozen base, which its own files hold."""
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Moves a batch as its own class does it; to a GPU while the host goes on."""
        return batch.to(device, non_blocking=device.type == "cuda")

    def _apply(self, fn: Any, recurse: bool = True) -> FlowMatching:
        """Leaves the networks where their placement has put them.

        The trainer moves a module to its device and back to the CPU afterwards: blocks whose weights wait in main
        memory would all come to the device at once.
        """
        return self

    def _drawn_sigmas(self, batch: Batch) -> Tensor:
        uniform = seeded_uniform(len(batch.latents), seed=self.seed, stream="sigma", index=batch.index)
        tokens = self.denoiser.num_tokens(batch.latents.shape)
        return _sent(self.sigmas.quantile(uniform, num_tokens=tokens), batch.latents.device)

    def _errors(self, batch: Batch, *, noise: Tensor, sigma: Tensor) -> Tensor:
        noisy = interpolate(batch.latents, noise, sigma)
        velocity = self.denoiser.velocity(noisy, sigma=sigma, prompt_embeds=batch.prompt_embeds)
        return velocity_loss(velocity, target_velocity(batch.latents, noise), mask=batch.mask)

    def _validation_noise(self, key: str, batch: Batch) -> Tensor:
        return seeded_noise(
            batch.latents.shape[1:], seed=VALIDATION_SEED, stream=f"validation/{key}", index=0
        )


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Copies to the device; to a GPU from page-locked memory, since the host would wait for any other copy."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
