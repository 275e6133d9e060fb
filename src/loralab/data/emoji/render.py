"""Pictures drawn exactly from their description: 64x64 RGB, a pure function of the spec."""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image

from loralab.data.emoji.atlas import TILE, tile
from loralab.data.emoji.looks import linocut
from loralab.data.emoji.spec import EmojiSpec

FULL, SMALL, SHIFT = 54, 30, 15
ANGLES = {"upright": 0, "tilted left": 30, "tilted right": -30, "upside down": 180}
CENTRES = {
    "full": (0, 0),
    "small": (0, 0),
    "left": (-1, 0),
    "right": (1, 0),
    "top": (0, -1),
    "bottom": (0, 1),
}
COLOURS = {
    "white": (255, 255, 255), "red": (226, 62, 58), "orange": (247, 150, 50), "yellow": (250, 220, 80),
    "green": (90, 178, 84), "blue": (70, 130, 224), "purple": (146, 92, 196), "pink": (248, 170, 200),
}  # fmt: skip


def render(spec: EmojiSpec, *, backdrop: np.ndarray | None = None) -> np.ndarray:
    """The picture of `spec`, uint8 `[64, 64, 3]`; a `backdrop` of that form stands behind it in place of its colour."""
    picture_set = "twemoji" if spec.style == "twemoji" else "noto"
    canvas = Image.new("RGBA", (TILE, TILE), (*COLOURS[spec.background], 255))
    if backdrop is not None:
        canvas.paste(Image.fromarray(backdrop))
    canvas.alpha_composite(_placed(spec.name, picture_set, spec.layout, spec.tilt, spec.tint))
    pixels = np.asarray(canvas.convert("RGB"))
    return linocut(pixels) if spec.style == "linocut" else pixels


@functools.lru_cache(maxsize=4096)
def _placed(name: str, picture_set: str, layout: str, tilt: str, tint: str) -> Image.Image:
    """The emoji alone on a transparent canvas: scaled, turned about its own centre, moved, tinted."""
    size = FULL if layout == "full" else SMALL
    drawing = tile(name, picture_set=picture_set)
    drawing = drawing.resize((size, size), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (TILE, TILE), (0, 0, 0, 0))
    corner = (TILE - size) // 2
    canvas.paste(drawing, (corner, corner))
    canvas = canvas.rotate(ANGLES[tilt], Image.Resampling.BICUBIC)
    moved = Image.new("RGBA", (TILE, TILE), (0, 0, 0, 0))
    x, y = CENTRES[layout]
    moved.paste(canvas, (x * SHIFT, y * SHIFT))
    return _grey(moved) if tint == "grey" else moved


def _grey(picture: Image.Image) -> Image.Image:
    luma, alpha = picture.convert("RGB").convert("L"), picture.getchannel("A")
    return Image.merge("RGBA", (luma, luma, luma, alpha))
