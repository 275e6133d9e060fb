"""Things to teach the nano twin, with a truth for every held-out caption: fixed splits, chosen by hash.

A concept is a look under a trigger word. It is learnt from `train` and asked for on the names of `held_out`, which
`train` never shows; `regularization` and `no_trigger` are Noto pictures without the word.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from PIL import Image

from loralab.data.emoji.atlas import names
from loralab.data.emoji.render import render
from loralab.data.emoji.spec import EmojiSpec, is_seen, variations
from loralab.errors import UserError
from loralab.files import atomic_write

Item = TypeVar("Item", str, EmojiSpec)
STYLE_OF = {"emoji_linocut": "linocut", "emoji_twemoji": "twemoji"}
NUM_LEARNT_NAMES = 46
NUM_TRAIN, NUM_NO_TRIGGER = 70, 64
MOST_CHANGED = 2  # attributes away from their default at once: more of them are rare in the base's training
ROUNDS = 3  # pictures of each held-out name; the first round alone asks for every name once


@dataclasses.dataclass(frozen=True, kw_only=True)
class Concept:
    """A look to learn.

    Attributes:
        name: as in `dataset=...`.
        trigger: the word that asks for the look.
        train: pictures to learn from.
        held_out: captions to be asked, of emoji that are not in `train`; the answer is `render(spec)`.
        regularization: the pictures of `train` as Noto draws them, captioned without the trigger: the word alone tells
            the two apart. Of other emoji, an adapter would learn which emoji are to be restyled, not which word asks.
        no_trigger: Noto captions to see whether it stayed, of emoji that are not in `train`.
    """

    name: str
    trigger: str
    train: tuple[EmojiSpec, ...]
    held_out: tuple[EmojiSpec, ...]
    regularization: tuple[EmojiSpec, ...]
    no_trigger: tuple[EmojiSpec, ...]


@functools.cache
def concept(name: str) -> Concept:
    """The concept `emoji_linocut` or `emoji_twemoji`."""
    if name not in STYLE_OF:
        raise UserError(
            f"dataset={name}: there is no such emoji concept; choose one of {', '.join(STYLE_OF)}."
        )
    style, order = STYLE_OF[name], _shuffled(names(), salt="concept")
    learnt, asked = order[:NUM_LEARNT_NAMES], order[NUM_LEARNT_NAMES:]
    train = _pictures(learnt, NUM_TRAIN, style=style, salt="train")
    return Concept(
        name=name,
        trigger=style,
        train=train,
        held_out=_pictures(asked, ROUNDS * len(asked), style=style, salt="held_out"),
        regularization=tuple(dataclasses.replace(spec, style="noto") for spec in train),
        no_trigger=_pictures(asked, NUM_NO_TRIGGER, style="noto", salt="no_trigger"),
    )


def write_folder(concept_name: str, split: str, *, root: str | Path) -> Path:
    """An ordinary picture folder of that split (`train`, `held_out`, ...): PNG with .txt captions."""
    folder = Path(root) / concept_name / split
    for spec in getattr(concept(concept_name), split):
        stem = folder / spec.caption.replace(", ", "_").replace(" ", "-")
        encoded = io.BytesIO()
        Image.fromarray(render(spec)).save(encoded, format="PNG")
        atomic_write(stem.with_suffix(".png"), encoded.getvalue())
        atomic_write(stem.with_suffix(".txt"), spec.caption + "\n")
    return folder


def _pictures(chosen: Sequence[str], count: int, *, style: str, salt: str) -> tuple[EmojiSpec, ...]:
    """The first `count` of round after round over the names; the base has seen each in Noto's style.

    A name is plain in its first round and varied in its second, or the other way round; then varied again.
    """
    rounds = []
    for index, name in enumerate(chosen[:count]):
        plain, *varied = _easy(name)
        order = _shuffled(tuple(varied), salt=salt)
        rounds.append((plain, *order) if index % 2 == 0 else (order[0], plain, *order[1:]))
    turns = range(-(-count // len(chosen)))
    picked = (dataclasses.replace(pictures[turn], style=style) for turn in turns for pictures in rounds)
    return tuple(itertools.islice(picked, count))


@functools.cache
def _easy(name: str) -> tuple[EmojiSpec, ...]:
    """What the base has seen and draws well of an emoji, the plain picture first."""
    return tuple(spec for spec in variations(name) if is_seen(spec) and _is_easy(spec))


def _is_easy(spec: EmojiSpec) -> bool:
    """Whether the base draws such pictures well: upright, and few attributes at once (docs/nano_klein.md)."""
    return spec.tilt == "upright" and len(spec.changed) <= MOST_CHANGED


def _shuffled(items: tuple[Item, ...], *, salt: str) -> tuple[Item, ...]:
    return tuple(sorted(items, key=lambda item: hashlib.sha256(f"{salt}|{item}".encode()).digest()))
