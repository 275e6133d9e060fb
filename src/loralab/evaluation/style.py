"""Did the adapter learn the style? Held-out captions with known true pictures say, base against adapter.

Three questions, each drawn with the same noise by the base and by the adapter file:

- held out: does a caption with the trigger come nearer to its true picture, in pixels and in features?
- sets: are the drawn pictures, as a set, nearer to the true ones (Fréchet distance)? The concept's source
  pictures, restyled by nobody, say how far apart the two styles are to begin with.
- drift: do captions without the trigger stay what they were? The yardstick is how far the base's own pictures
  move when only the seed changes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional

from loralab.denoiser import Denoiser
from loralab.errors import UserError
from loralab.evaluation.drawing import Drawing, Prompts
from loralab.evaluation.features import FeatureNet
from loralab.evaluation.fewstep_drawing import Subject
from loralab.evaluation.pictures import from_bytes, to_image
from loralab.evaluation.sampler import Progress
from loralab.evaluation.scores import Drawn, Pixels, StyleScore, Truths, score_drawn

if TYPE_CHECKING:
    from loralab.data.emoji.spec import EmojiSpec

OTHER_SEED = 1_000_003
"""Added to a seed to get the one of the drift's yardstick."""


@dataclass(frozen=True)
class StyleTest:
    """How much of a concept is drawn to score a style.

    Attributes:
        num_held_out: captions with the trigger, never trained on.
        num_no_trigger: captions without it.
        seeds: every caption is drawn with each; a caption's distance is the mean over them.
    """

    num_held_out: int = 200
    num_no_trigger: int = 64
    seeds: Sequence[int] = (0,)

    def __post_init__(self) -> None:
        if self.num_held_out < 2 or self.num_no_trigger < 2 or not self.seeds:
            raise UserError(
                f"evaluation.style: num_held_out={self.num_held_out}, num_no_trigger={self.num_no_trigger} must be "
                f"at least 2, seeds={list(self.seeds)} not empty; evaluation.style=null leaves the score out"
            )


@dataclass(frozen=True)
class Concept:
    """What a style is tested on.

    Attributes:
        held_out: captions with the trigger that training does not see.
        truths: their true pictures.
        no_trigger: captions without the trigger.
        no_trigger_truths: their true pictures, where known.
    """

    held_out: tuple[str, ...]
    truths: Truths
    no_trigger: tuple[str, ...]
    no_trigger_truths: Float[Tensor, " m 3 height width"] | None = None

    @property
    def captions(self) -> tuple[str, ...]:
        """All captions of the test."""
        return (*self.held_out, *self.no_trigger)

    @property
    def subject(self) -> Subject:
        """The same captions and true pictures, to test few steps with."""
        return Subject(self.held_out, self.truths.styled, self.no_trigger, self.no_trigger_truths)

    def pictures(self) -> dict[str, Image.Image]:
        """Gives the true picture of each held-out caption."""
        return {text: to_image(truth) for text, truth in zip(self.held_out, self.truths.styled, strict=True)}

    def limited(self, test: StyleTest) -> Concept:
        """Gives the first pictures of each kind, as many as the test asks for and there are."""
        count = min(test.num_held_out, len(self.held_out))
        sources = None if self.truths.sources is None else self.truths.sources[:count]
        truths = Truths(self.truths.styled[:count], sources)
        return Concept(self.held_out[:count], truths, self.no_trigger[: test.num_no_trigger])


def emoji_concept(name: str) -> Concept:
    """Gives the test of a concept that comes with the project (`emoji_linocut`, `varied_teapot`, ...)."""
    from loralab.data.emoji.concepts import concept
    from loralab.data.emoji.varied_concepts import NAMES

    if name in NAMES:
        return _varied_concept(name)
    found = concept(name)
    plain = [dataclasses.replace(spec, style="noto") for spec in found.held_out]
    truths = Truths(styled=_drawn_exactly(found.held_out), sources=_drawn_exactly(plain))
    return Concept(
        tuple(spec.caption for spec in found.held_out),
        truths,
        tuple(spec.caption for spec in found.no_trigger),
        _drawn_exactly(found.no_trigger),
    )


def score_style(
    denoiser: Denoiser,
    adapter_path: str | Path,
    *,
    concept: Concept,
    prompts: Prompts,
    test: StyleTest,
    drawing: Drawing,
    network: FeatureNet,
    progress: Progress | None = None,
) -> StyleScore:
    """Draws a concept by the base and by the adapter file and scores the difference.

    Args:
        denoiser: the base.
        adapter_path: an adapter file, ours or another tool's.
        concept: captions and true pictures, already limited to what is to be drawn.
        prompts: the encoded captions of the concept, among others.
        test: says with which seeds.
        drawing: settings of the sampler.
        network: measures distances in features.
        progress: is told how many pictures were finished.
    """
    drawn = draw_concept(
        denoiser,
        adapter_path,
        held_out=prompts.select(concept.held_out),
        no_trigger=prompts.select(concept.no_trigger),
        seeds=test.seeds,
        drawing=drawing,
        progress=progress,
    )
    sized = _resized(drawn, size=concept.truths.styled.shape[-2:])
    return score_drawn(sized, truths=concept.truths, num_seeds=len(test.seeds), network=network)


def draw_concept(
    denoiser: Denoiser,
    adapter_path: str | Path,
    *,
    held_out: Prompts,
    no_trigger: Prompts,
    seeds: Sequence[int],
    drawing: Drawing,
    progress: Progress | None = None,
) -> Drawn:
    """Draws all that the score needs; caption i of n has the noise s * n + i, so that none share it."""
    styled, styled_seeds = _repeated(held_out, seeds=seeds)
    plain, plain_seeds = _repeated(no_trigger, seeds=seeds)
    other_seeds = [seed + OTHER_SEED for seed in plain_seeds]

    def by_base(prompts: Prompts, row_seeds: Sequence[int]) -> Pixels:
        return drawing.draw_base(denoiser, prompts, seeds=row_seeds, progress=progress)

    def by_adapter(prompts: Prompts, row_seeds: Sequence[int]) -> Pixels:
        return drawing.draw_adapter(
            denoiser, adapter_path, prompts=prompts, seeds=row_seeds, progress=progress
        )

    return Drawn(
        held_out_base=by_base(styled, styled_seeds),
        held_out_adapter=by_adapter(styled, styled_seeds),
        no_trigger_base=by_base(plain, plain_seeds),
        no_trigger_other_seed=by_base(plain, other_seeds),
        no_trigger_adapter=by_adapter(plain, plain_seeds),
    )


def _repeated(prompts: Prompts, *, seeds: Sequence[int]) -> tuple[Prompts, list[int]]:
    """Gives all prompts once for each seed, and the seeds of the rows."""
    count = len(prompts.texts)
    row_seeds = [seed * count + index for seed in seeds for index in range(count)]
    return prompts.select(prompts.texts * len(seeds)), row_seeds


def _resized(drawn: Drawn, *, size: torch.Size) -> Drawn:
    """Brings pictures to the size of the true ones, for models that draw larger."""
    if drawn.held_out_base.shape[-2:] == size:
        return drawn
    parts = {
        name: functional.interpolate(pixels, tuple(size), mode="bicubic", antialias=True).clamp(-1, 1)
        for name, pixels in vars(drawn).items()
    }
    return Drawn(**parts)


def _varied_concept(name: str) -> Concept:
    from loralab.data.emoji.varied_concepts import varied_concept

    found = varied_concept(name)
    styled, sources, plain = (
        torch.stack([from_bytes(picture.pixels()) for picture in part]) if part else None
        for part in (found.held_out, found.sources, found.no_trigger)
    )
    assert styled is not None
    captions = tuple(picture.caption for picture in found.held_out)
    return Concept(captions, Truths(styled, sources), tuple(each.caption for each in found.no_trigger), plain)


def _drawn_exactly(specs: Sequence[EmojiSpec]) -> Pixels:
    from loralab.data.emoji.render import render

    return torch.stack([from_bytes(render(spec)) for spec in specs])
