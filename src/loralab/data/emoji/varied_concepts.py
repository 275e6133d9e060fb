"""Concepts in the pictures of the nano Z-Image: captions leave much open, so a set of pictures is the truth.

`varied_linocut` and `varied_twemoji` are looks, learnt on some emoji and asked for on others; `varied_teapot` is a
thing, asked for in pictures that are drawn anew. `no_trigger` are pictures as the base learnt them, which should stay.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from loralab.data.emoji.concepts import concept
from loralab.data.emoji.teapot import WORD, draw_teapot
from loralab.data.emoji.varied import VariedEmoji, draw_varied, render_varied
from loralab.errors import UserError

STYLE_OF = {"varied_linocut": "linocut", "varied_twemoji": "twemoji"}
NAMES = (*STYLE_OF, "varied_teapot")
NUM_TRAIN, NUM_MANY, NUM_HELD_OUT, NUM_NO_TRIGGER = 70, 2048, 512, 256
SEEDS = {"train": 7001, "held_out": 7002, "no_trigger": 7003, "known": 7004}
"""Rows of pictures (loralab.data.emoji.varied) that nothing else is drawn from."""


@runtime_checkable
class Picture(Protocol):
    """A picture with its caption."""

    @property
    def caption(self) -> str:
        """What is asked."""
        ...

    def pixels(self) -> np.ndarray:
        """The picture, uint8 `[64, 64, 3]`."""
        ...


@dataclasses.dataclass(frozen=True)
class StyledEmoji:
    """A picture of the base's kind, in a style."""

    shown: VariedEmoji

    @property
    def caption(self) -> str:
        """The words for it; the style's is the trigger."""
        return self.shown.caption

    def pixels(self) -> np.ndarray:
        """The picture."""
        return render_varied(self.shown)

    def styled(self, style: str) -> StyledEmoji:
        """Gives the same picture, confetti and all, in another style."""
        return StyledEmoji(
            dataclasses.replace(self.shown, spec=dataclasses.replace(self.shown.spec, style=style))
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VariedConcept:
    """Something to learn.

    Attributes:
        name: as in `dataset=...`.
        trigger: the word that asks for it.
        train: pictures to learn from.
        held_out: pictures that are asked for: a look's of emoji that `train` does not show, a thing's drawn anew.
        regularization: of a look, the pictures of `train` without it; of a thing, pictures of other things.
        no_trigger: pictures that should stay as they are, of emoji that `train` does not show.
        sources: the pictures of `held_out` before they had the look; none of a thing.
        learnt: names of the emoji that `train` is drawn of; none of a thing.
    """

    name: str
    trigger: str
    train: tuple[Picture, ...]
    held_out: tuple[Picture, ...]
    regularization: tuple[Picture, ...]
    no_trigger: tuple[Picture, ...]
    sources: tuple[Picture, ...] = ()
    learnt: tuple[str, ...] = ()

    @property
    def many(self) -> tuple[Picture, ...]:
        """2,048 pictures of the kind of `train`: a network of this size learns a look from many, not from 70."""
        if not self.learnt:
            return _teapots("train", NUM_MANY)
        return _styled(_plain("train", self.learnt, NUM_MANY), self.trigger)

    @property
    def known(self) -> tuple[Picture, ...]:
        """Other pictures of the emoji in `learnt`; of a thing, `held_out`."""
        if not self.learnt:
            return self.held_out
        return _styled(_plain("known", self.learnt, NUM_HELD_OUT), self.trigger)


@functools.cache
def varied_concept(name: str) -> VariedConcept:
    """The concept of that name.

    Raises:
        UserError: naming those that there are.
    """
    if name not in NAMES:
        raise UserError(f"dataset={name}: there is no such emoji concept; choose one of {', '.join(NAMES)}.")
    return _look(name) if name in STYLE_OF else _thing(name)


def _look(name: str) -> VariedConcept:
    style = STYLE_OF[name]
    learnt = sorted({spec.name for spec in concept(f"emoji_{style}").train})
    asked = sorted({spec.name for spec in concept(f"emoji_{style}").held_out})
    train, held_out = (_plain("train", learnt, NUM_TRAIN), _plain("held_out", asked, NUM_HELD_OUT))
    return VariedConcept(
        name=name,
        trigger=style,
        train=_styled(train, style),
        held_out=_styled(held_out, style),
        regularization=train,
        no_trigger=_plain("no_trigger", asked, NUM_NO_TRIGGER),
        sources=held_out,
        learnt=tuple(learnt),
    )


def _thing(name: str) -> VariedConcept:
    names = sorted({spec.name for spec in concept("emoji_linocut").held_out})
    learnt = sorted({spec.name for spec in concept("emoji_linocut").train})
    return VariedConcept(
        name=name,
        trigger=WORD,
        train=_teapots("train", NUM_TRAIN),
        held_out=_teapots("held_out", NUM_HELD_OUT),
        regularization=_plain("train", learnt, NUM_TRAIN),
        no_trigger=_plain("no_trigger", names, NUM_NO_TRIGGER),
    )


def _teapots(split: str, count: int) -> tuple[Picture, ...]:
    return tuple(draw_teapot(SEEDS[split], index=index) for index in range(count))


def _styled(pictures: Sequence[StyledEmoji], style: str) -> tuple[Picture, ...]:
    return tuple(picture.styled(style) for picture in pictures)


def _plain(split: str, names: Sequence[str], count: int) -> tuple[StyledEmoji, ...]:
    """The first `count` pictures of a split's row that show one of the names."""
    row = (draw_varied(SEEDS[split], index=index) for index in itertools.count())
    chosen = (StyledEmoji(picture) for picture in row if picture.spec.name in names)
    return tuple(itertools.islice(chosen, count))
