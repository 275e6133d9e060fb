"""Pictures drawn by a denoiser: noise from seeds, the checkpoint's own sigmas, Euler's method, decoding.

Each picture's noise comes from a generator of its own, `torch.Generator().manual_seed(seed)` on the CPU, as a
diffusers pipeline draws it when it is handed that generator. So a picture depends on its seed only, not on
what it is batched with, and can be had from the pipeline as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.denoiser import Denoiser
from loralab.errors import UserError
from loralab.flow import euler

Progress = Callable[[int], None]


@torch.no_grad()
def draw(
    denoiser: Denoiser,
    *,
    prompt_embeds: Sequence[Float[Tensor, " _ d"]],
    negative_embeds: Sequence[Float[Tensor, " _ d"]] | None,
    seeds: Sequence[int],
    height: int | None = None,
    width: int | None = None,
    num_steps: int | None = None,
    guidance_scale: float | None = None,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> Float[Tensor, " b 3 height width"]:
    """Draws one picture for each prompt and seed, in [-1, 1], fp32 on the CPU.

    Args:
        denoiser: what draws; its transformer carries whichever adapter is active.
        prompt_embeds: from `denoiser.encode_prompts`.
        negative_embeds: one for each prompt, needed where the guidance scale costs a second call.
        seeds: one for each prompt.
        height: pixels; None takes the checkpoint's own, as for the next three.
        width: pixels.
        num_steps: solver steps.
        guidance_scale: in the family's own convention.
        batch_size: pictures drawn at once.
        progress: is told how many pictures were finished after each batch.
    """
    sampling = denoiser.sampling
    guidance_scale = sampling.guidance_scale if guidance_scale is None else guidance_scale
    num_steps = sampling.num_steps if num_steps is None else num_steps
    if denoiser.guides(guidance_scale) and negative_embeds is None:
        raise UserError(f"guidance_scale={guidance_scale} needs embeddings of the negative prompt as well")
    shape = _latents_shape(denoiser, height=height or sampling.height, width=width or sampling.width)
    sigmas = denoiser.sampling_sigmas(num_steps=num_steps, latents_shape=shape).to(denoiser.device)
    pictures = []
    with evaluating(denoiser.transformer):
        for start in range(0, len(seeds), batch_size):
            part = slice(start, start + batch_size)
            negatives = negative_embeds[part] if negative_embeds is not None else None
            velocity = guided_velocity(
                denoiser, prompt_embeds[part], negatives, guidance_scale=guidance_scale
            )
            noise = seeded_pictures_noise(seeds[part], shape=shape).to(denoiser.device)
            pictures.append(denoiser.decode_latents(euler(velocity, noise, sigmas)).clamp(-1, 1))
            if progress is not None:
                progress(len(noise))
    return torch.cat(pictures)


def seeded_pictures_noise(seeds: Sequence[int], *, shape: tuple[int, int, int]) -> Float[Tensor, " b c h w"]:
    """Gives standard normal latents, each from its own seed, fp32 on the CPU."""
    return torch.cat(
        [torch.randn((1, *shape), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )


def guided_velocity(
    denoiser: Denoiser,
    prompt_embeds: Sequence[Float[Tensor, " _ d"]],
    negative_embeds: Sequence[Float[Tensor, " _ d"]] | None,
    *,
    guidance_scale: float,
) -> Callable[[Tensor, Tensor], Tensor]:
    """Gives velocity(noisy, sigma) under the family's guidance; one call where nothing is guided."""
    positives = [embeds.to(denoiser.device) for embeds in prompt_embeds]
    if not denoiser.guides(guidance_scale) or negative_embeds is None:
        return lambda noisy, sigma: denoiser.velocity(noisy, sigma=sigma, prompt_embeds=positives)
    negatives = [embeds.to(denoiser.device) for embeds in negative_embeds]

    def velocity(noisy: Tensor, sigma: Tensor) -> Tensor:
        conditional = denoiser.velocity(noisy, sigma=sigma, prompt_embeds=positives)
        unconditional = denoiser.velocity(noisy, sigma=sigma, prompt_embeds=negatives)
        return denoiser.guide(conditional, unconditional, guidance_scale)

    return velocity


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Puts a module into evaluation mode (no dropout) and gives back the mode it had."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


def _latents_shape(denoiser: Denoiser, *, height: int, width: int) -> tuple[int, int, int]:
    multiple = denoiser.size_multiple
    if height % multiple or width % multiple or min(height, width) < multiple:
        raise UserError(
            f"picture size {height}x{width} (height x width) must be a multiple of {multiple} pixels"
        )
    return denoiser.latents_shape(height=height, width=width)
