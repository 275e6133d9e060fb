"""How a few-step test is drawn: which captions, from which noise, at how many steps, by whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.denoiser import Denoiser
from loralab.evaluation.drawing import Drawing, Prompts
from loralab.evaluation.sampler import Progress
from loralab.evaluation.scores import Pixels

MANY_STEPS = 32
"""Steps at which a velocity regression draws well; few-step figures are read beside it."""
PRIOR_SEED, OTHER_SEED = 500_000, 1_500_000
"""First noise of captions without the trigger, and of the checkpoint's own pictures that stand for their truth."""

MOST_AT_ONCE = 32
"""True pictures that pass the VAE together."""

Draw = Callable[[Prompts, Sequence[int], int | None], Pixels]
"""draw(prompts, seeds, num_steps); None is the checkpoint's own number."""


@dataclass(frozen=True)
class Subject:
    """What few steps are tested on.

    Attributes:
        held_out: captions with the trigger that training does not see.
        truths: true pictures of them, one for each, of any size.
        no_trigger: captions without the trigger.
        no_trigger_truths: their true pictures, where known.
    """

    held_out: tuple[str, ...]
    truths: Float[Tensor, " n 3 height_true width_true"]
    no_trigger: tuple[str, ...] = ()
    no_trigger_truths: Float[Tensor, " m 3 _ _"] | None = None

    @property
    def captions(self) -> tuple[str, ...]:
        """All captions of the test."""
        return (*self.held_out, *self.no_trigger)

    def first(self, num_held_out: int, num_no_trigger: int) -> Subject:
        """Gives the first of each kind, as many as there are up to these numbers."""
        known = self.no_trigger_truths
        return Subject(
            self.held_out[:num_held_out],
            self.truths[:num_held_out],
            self.no_trigger[:num_no_trigger],
            None if known is None else known[:num_no_trigger],
        )

    def asking(self, prompts: Sequence[str], *, count: int) -> Subject:
        """Gives the same with other captions without the trigger, `count` of them, in turn."""
        repeats = -(-count // len(prompts))
        return Subject(self.held_out, self.truths, (tuple(prompts) * repeats)[:count])


def kept(denoiser: Denoiser, subject: Subject, *, size: Sequence[int]) -> Subject:
    """Gives a subject whose true pictures are as the checkpoint's VAE keeps them: no adapter can draw more than that.

    Those of another size than is drawn stay as they are: what a VAE loses depends on it.
    """
    plain = subject.no_trigger_truths
    return dataclasses.replace(
        subject,
        truths=_kept(denoiser, subject.truths, size=size),
        no_trigger_truths=None if plain is None else _kept(denoiser, plain, size=size),
    )


@torch.no_grad()
def _kept(
    denoiser: Denoiser, pixels: Float[Tensor, " n 3 height width"], *, size: Sequence[int]
) -> Float[Tensor, " n 3 height width"]:
    if list(pixels.shape[-2:]) != list(size):
        return pixels
    parts = [denoiser.decode_latents(denoiser.encode_pixels(part)) for part in pixels.split(MOST_AT_ONCE)]
    return torch.cat([part.float().clamp(-1, 1).cpu() for part in parts])


@dataclass(frozen=True)
class FewStepDrawn:
    """One model's pictures: held-out captions at few and at many steps, captions without the trigger at few."""

    few: Pixels
    many: Pixels | None
    prior: Float[Tensor, " m 3 height width"] | None


def drawn_by(
    denoiser: Denoiser, adapter: Path | None, *, drawing: Drawing, progress: Progress | None = None
) -> Draw:
    """Gives how an adapter file draws, or the checkpoint without one."""

    def picture(prompts: Prompts, seeds: Sequence[int], num_steps: int | None) -> Pixels:
        steps = drawing.num_steps if num_steps is None else num_steps
        way = dataclasses.replace(drawing, num_steps=steps)
        if adapter is None:
            return way.draw_base(denoiser, prompts, seeds=seeds, progress=progress)
        return way.draw_adapter(denoiser, adapter, prompts=prompts, seeds=seeds, progress=progress)

    return picture


def draw_few_step(
    picture: Draw, subject: Subject, *, prompts: Prompts, many_steps: int | None = MANY_STEPS
) -> FewStepDrawn:
    """Draws a subject; caption i has noise i, whoever draws. `many_steps=None` leaves many steps out."""
    held_out, seeds = prompts.select(subject.held_out), range(len(subject.held_out))
    return FewStepDrawn(
        few=picture(held_out, seeds, None),
        many=None if many_steps is None else picture(held_out, seeds, many_steps),
        prior=draw_prior(picture, subject, prompts=prompts, seed=PRIOR_SEED) if subject.no_trigger else None,
    )


def draw_prior(
    picture: Draw, subject: Subject, *, prompts: Prompts, seed: int
) -> Float[Tensor, " m 3 height width"]:
    """Draws the captions without the trigger at the checkpoint's own steps, from noise that starts at `seed`."""
    chosen = prompts.select(subject.no_trigger)
    return picture(chosen, range(seed, seed + len(chosen.texts)), None)
