"""What a look at a few-step checkpoint draws and measures, by whichever adapters act at the moment.

detail = mean |L(student's latents)|^2 / mean |L(untouched latents)|^2       L: the discrete Laplacian, same noise
drift  = rms(student's - untouched latents) / rms(untouched latents)         on prior prompts
gap    = detail of the student at many steps / at few
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from loralab.data.batch import Batch
from loralab.denoiser import Denoiser
from loralab.evaluation.distribution import laplacian_energy
from loralab.evaluation.drawing import Prompts
from loralab.evaluation.grid import Row, labelled_grid
from loralab.evaluation.pictures import to_image
from loralab.evaluation.sampler import evaluating, guided_velocity, seeded_pictures_noise
from loralab.flow import euler
from loralab.objectives.objective import validation_noise, velocity_errors

Latents = Float[Tensor, " b c h w"]

AT_ONCE = 2
"""Pictures drawn at a time: without gradients two take less than a step of training does."""


@dataclass(frozen=True)
class Watched:
    """The prompts that are looked at, each with its noise.

    Attributes:
        prompts: first those that should stay as they are, then the concept's.
        num_prior: how many are of the first kind.
        first_seed: of the noise; the others count up from it.
    """

    prompts: Prompts
    num_prior: int = 0
    first_seed: int = 0

    @property
    def seeds(self) -> list[int]:
        """One for each prompt."""
        return [self.first_seed + index for index in range(len(self.prompts.texts))]


@torch.no_grad()
def drawn_latents(denoiser: Denoiser, watched: Watched, *, num_steps: int) -> Latents:
    """Draws every watched prompt by whatever the transformer is at the moment, without guidance; on the CPU."""
    sampling, prompts = denoiser.sampling, watched.prompts
    shape = denoiser.latents_shape(height=sampling.height, width=sampling.width)
    sigmas = denoiser.sampling_sigmas(num_steps=num_steps, latents_shape=shape).to(denoiser.device)
    parts = []
    with evaluating(denoiser.transformer):
        for start in range(0, len(prompts.texts), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            velocity = guided_velocity(
                denoiser, prompts.embeds[part], None, guidance_scale=sampling.guidance_scale
            )
            noise = seeded_pictures_noise(watched.seeds[part], shape=shape).to(denoiser.device)
            parts.append(euler(velocity, noise, sigmas).float().cpu())
    return torch.cat(parts)


@torch.no_grad()
def flow_error(denoiser: Denoiser, batches: Sequence[Batch]) -> float:
    """Gives the flow-matching error over held-out pictures at the sigmas of the few-step grid, on fixed noise."""
    num_steps, errors = denoiser.sampling.num_steps, []
    with evaluating(denoiser.transformer):
        for batch in (each.to(denoiser.device) for each in batches):
            sigmas = denoiser.sampling_sigmas(num_steps=num_steps, latents_shape=batch.latents.shape)[:-1]
            noise = validation_noise(batch)
            for sigma in sigmas.to(denoiser.device):
                errors.append(velocity_errors(denoiser, batch, noise=noise, sigma=sigma.expand(len(noise))))
    return torch.cat(errors).mean().item()


def beside(columns: Mapping[str, Float[Tensor, " b 3 height width"]], texts: Sequence[str]) -> Image.Image:
    """Gives one picture of many: a row for each prompt, a column for each way of drawing it."""
    rows = [
        Row(text, tuple(to_image(pixels[index]) for pixels in columns.values()))
        for index, text in enumerate(texts)
    ]
    return labelled_grid(rows, columns=list(columns))


def detail(latents: Latents, *, reference: Latents) -> float:
    """Gives the high-frequency energy of latents over that of others."""
    return (laplacian_energy(latents).mean() / laplacian_energy(reference).mean().clamp(min=1e-12)).item()


def spread(latents: Latents, *, reference: Latents) -> float:
    """Gives the standard deviation of latents over that of others: contrast."""
    return (latents.std() / reference.std().clamp(min=1e-12)).item()


def relative_distance(latents: Latents, *, reference: Latents) -> float:
    """Gives rms(latents - reference) / rms(reference): 0 for equal ones."""
    return ((latents - reference).square().mean() / reference.square().mean().clamp(min=1e-12)).sqrt().item()
