"""A thing to teach that the nano twins never saw: a crowned teapot with an animal on its belly.

It is put together from packed emoji, of which the base learnt the animals' faces only. Which of them looks out is never
told, nor half of the attributes, nor the confetti: under one caption there are many true pictures.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from PIL import Image

from loralab.data.emoji.atlas import TILE, tile
from loralab.data.emoji.render import CENTRES, COLOURS, FULL, SHIFT, SMALL
from loralab.data.emoji.spec import ATTRIBUTES, EmojiSpec
from loralab.data.emoji.specks import strewn
from loralab.data.emoji.varied import CHANGED, TOLD_SHARE, VariedEmoji

WORD = "sks"
"""Stands in the caption where an emoji has its name; the base was told that it means nothing."""
FACES = ("cat face", "fox face", "frog face", "panda face")
POT, CROWN, FACE = (0, 10, 54), (16, 0, 24), (18, 28, 22)
"""Left, top and side of each part."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Teapot:
    """One picture of it: whose face, and where and before what it stands."""

    face: str
    shown: VariedEmoji

    @property
    def caption(self) -> str:
        """The words for this picture."""
        return self.shown.caption

    def pixels(self) -> np.ndarray:
        """The picture, uint8 `[64, 64, 3]`."""
        spec = self.shown.spec
        canvas = Image.fromarray(strewn(COLOURS[spec.background], seed=self.shown.seed)).convert("RGBA")
        size = FULL if spec.layout == "full" else SMALL
        drawing = _drawing(self.face).resize((size, size), Image.Resampling.LANCZOS)
        if spec.tint == "grey":
            luma, alpha = drawing.convert("RGB").convert("L"), drawing.getchannel("A")
            drawing = Image.merge("RGBA", (luma, luma, luma, alpha))
        x, y = CENTRES[spec.layout]
        corner = (TILE - size) // 2
        canvas.alpha_composite(drawing, (corner + x * SHIFT, corner + y * SHIFT))
        return np.asarray(canvas.convert("RGB"))


def draw_teapot(seed: int, *, index: int) -> Teapot:
    """The picture `index` of an endless row, with attributes away from default as often as in the base's pictures."""
    rng = np.random.default_rng([seed, index])
    changed = {
        key: ATTRIBUTES[key][rng.integers(1, len(ATTRIBUTES[key]))]
        for key, share in CHANGED.items()
        if rng.random() < share
    }
    told = tuple(key for key in changed if rng.random() < TOLD_SHARE)
    shown = VariedEmoji(spec=EmojiSpec(name=WORD, **changed), told=told, seed=int(rng.integers(2**62)))
    return Teapot(face=FACES[rng.integers(len(FACES))], shown=shown)


@functools.cache
def _drawing(face: str) -> Image.Image:
    """The thing alone on a transparent tile."""
    canvas = Image.new("RGBA", (TILE, TILE), (0, 0, 0, 0))
    for name, (left, top, side) in (("teapot", POT), ("crown", CROWN), (face, FACE)):
        part = tile(name, picture_set="noto").resize((side, side), Image.Resampling.LANCZOS)
        canvas.alpha_composite(part, (left, top))
    return canvas
