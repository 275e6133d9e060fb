"""The emoji concepts that come with the project, as a source of pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loralab.data.records import Entry, Listing
from loralab.data.stored import store_picture
from loralab.errors import UserError

SPLITS = ("train", "regularization", "held_out", "validation")
VARIED_SPLITS = (*SPLITS, "many", "known")
NUM_VALIDATION = 32
"""Held-out pictures on which the loss is watched."""


@dataclass(frozen=True)
class EmojiSource:
    """Draws one split of a concept; a root reads `<concept>/<split>`, for example `emoji_linocut/train`."""

    def read(self, root: str, *, key: str, cache_root: Path) -> Listing:
        """Lists the pictures of a split, drawn into the cache folder as BMP, bytes that no library varies."""
        from PIL import Image

        name, _, split = root.partition("/")
        splits = _splits(name)
        if split not in splits:
            known = ", ".join(f"{name}/{known}" for known in splits)
            raise UserError(f"{key}={root} names no split of {name}; known are {known}.")
        entries = []
        for number, (caption, pixels) in enumerate(_pictures(name, split)):
            data = io.BytesIO()
            Image.fromarray(pixels).save(data, format="bmp")
            path = store_picture(data.getvalue(), folder=cache_root / "emoji", ending=".bmp")
            entries.append(Entry(path=path, name=f"{root}/{number:04d}", caption=caption))
        return Listing(tuple(entries))


def _splits(name: str) -> tuple[str, ...]:
    from loralab.data.emoji.varied_concepts import NAMES

    return VARIED_SPLITS if name in NAMES else SPLITS


def _pictures(name: str, split: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the captions and pixels of a split; those of validation are the first that are held out."""
    from loralab.data.emoji.concepts import concept
    from loralab.data.emoji.render import render
    from loralab.data.emoji.varied_concepts import NAMES, varied_concept

    count = NUM_VALIDATION if split == "validation" else None
    part = "held_out" if split == "validation" else split
    if name in NAMES:
        for picture in getattr(varied_concept(name), part)[:count]:
            yield picture.caption, picture.pixels()
    else:
        for spec in getattr(concept(name), part)[:count]:
            yield spec.caption, render(spec)
