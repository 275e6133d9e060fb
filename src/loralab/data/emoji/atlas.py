"""The packed emoji as arrays: one 64x64 RGBA tile per name and picture set."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
from PIL import Image

TILE = 64
COLUMNS = 20
FOLDER = Path(__file__).parent


LEARNT = frozenset(
    """animal-bird animal-marine animal-reptile animal-amphibian animal-bug food-fruit food-vegetable food-sweet
    plant-flower plant-other musical-instrument transport-ground""".split()
)
"""Groups that the nano transformer learns, animal faces beside them; the VAE and the tokenizer know all groups."""


@functools.cache
def all_names() -> tuple[str, ...]:
    """All emoji names, in the order of the atlas."""
    return tuple(name for name, _ in _listed())


@functools.cache
def names() -> tuple[str, ...]:
    """The emoji that the nano transformer learns, and so those of captions and concepts."""
    return tuple(name for name, group in _listed() if group in LEARNT or name.endswith(" face"))


def _listed() -> list[tuple[str, str]]:
    entries = json.loads((FOLDER / "names.json").read_text(encoding="utf-8"))
    return [(entry["name"], entry["group"]) for entry in entries]


@functools.cache
def _indices() -> dict[str, int]:
    return {name: index for index, name in enumerate(all_names())}


@functools.cache
def _atlas(picture_set: str) -> np.ndarray:
    with Image.open(FOLDER / f"{picture_set}.png") as file:
        return np.asarray(file.convert("RGBA"))


def tile(name: str, *, picture_set: str) -> Image.Image:
    """The emoji `name` as drawn by `noto` or `twemoji`, RGBA."""
    y, x = divmod(_indices()[name], COLUMNS)
    pixels = _atlas(picture_set)[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE]
    return Image.fromarray(pixels)
