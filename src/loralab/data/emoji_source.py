"""The emoji concepts that come with the project, as a source of pictures."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from loralab.data.records import Entry, Listing
from loralab.data.stored import store_picture
from loralab.errors import UserError

SPLITS = ("train", "regularization", "held_out", "validation")
NUM_VALIDATION = 32
"""Held-out pictures on which the loss is watched."""


@dataclass(frozen=True)
class EmojiSource:
    """Draws one split of a concept; a root reads `<concept>/<split>`, for example `emoji_linocut/train`."""

    def read(self, root: str, *, key: str, cache_root: Path) -> Listing:
        """Lists the pictures of a split, drawn into the cache folder as BMP, bytes that no library varies."""
        from PIL import Image

        from loralab.data.emoji.concepts import concept
        from loralab.data.emoji.render import render

        name, _, split = root.partition("/")
        if split not in SPLITS:
            known = ", ".join(f"{name}/{known}" for known in SPLITS)
            raise UserError(f"{key}={root} names no split of {name}; known are {known}.")
        chosen = concept(name)
        parts = (chosen.train, chosen.regularization, chosen.held_out, chosen.held_out[:NUM_VALIDATION])
        entries = []
        for number, spec in enumerate(parts[SPLITS.index(split)]):
            data = io.BytesIO()
            Image.fromarray(render(spec)).save(data, format="bmp")
            path = store_picture(data.getvalue(), folder=cache_root / "emoji", ending=".bmp")
            entries.append(Entry(path=path, name=f"{root}/{number:04d}", caption=spec.caption))
        return Listing(tuple(entries))
