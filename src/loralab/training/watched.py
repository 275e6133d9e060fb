"""Chooses the prompts that a few-step run is watched on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from loralab.evaluation.drawing import Prompts
from loralab.evaluation.looks import Watched
from loralab.training.watch_settings import WatchSettings

PRIOR = (
    "a portrait photo of an old fisherman with a grey beard, soft window light",
    "a street in the rain at night, neon signs mirrored on the asphalt",
    "a bowl of ripe cherries on a wooden table, close-up",
    "a mountain lake at dawn, mist over the water, pine trees",
)
"""Prompts that hardly any concept is about."""


@dataclass(frozen=True)
class WatchedTexts:
    """Prompts before they are embedded: first those that should stay as they are, then the concept's."""

    prior: tuple[str, ...]
    concept: tuple[str, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """All of them, to be encoded with the data set's."""
        return (*self.prior, *self.concept)

    def embedded(self, look_up: Callable[[str], Tensor]) -> Watched:
        """Gives the prompts with their embeddings, as an encoded data set knows them."""
        embeds = tuple(look_up(text) for text in self.texts)
        return Watched(Prompts(self.texts, embeds, None), num_prior=len(self.prior))


def watched_texts(
    settings: WatchSettings, *, concept: Sequence[str], prior: Sequence[str] = ()
) -> WatchedTexts:
    """Chooses what will be looked at; nothing where the run is not watched.

    Args:
        settings: how many prompts, and which prior ones if they are given there.
        concept: captions of the concept, best held-out ones.
        prior: captions without the concept, where the data set has such.
    """
    if not settings.every:
        return WatchedTexts((), ())
    count = settings.num_prompts
    before = tuple(settings.prior or prior or PRIOR)[:count]
    return WatchedTexts(before, tuple(dict.fromkeys(concept))[:count])
