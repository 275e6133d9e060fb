"""Small picture folders for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from loralab.data import FolderSource, PictureDataset


def draw(path: Path, *, width: int = 64, height: int = 64, seed: int = 0, caption: str | None = None) -> Path:
    """A picture that no other seed gives, with its caption beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def draw_set(root: Path, *, count: int = 6, **size: int) -> Path:
    """A folder of captioned pictures."""
    for number in range(count):
        draw(root / f"p{number}.png", seed=number, caption=f"picture {number}", **size)
    return root


def dataset(root: Path, **settings: Any) -> PictureDataset:
    """A folder data set at 64x64 with its cache beside it."""
    defaults = {
        "root": str(root),
        "source": FolderSource(),
        "resolutions": [64],
        "cache_root": root.parent / "cache",
    }
    settings = defaults | settings
    return PictureDataset(**settings | {"cache_root": str(settings["cache_root"])})
