"""Pictures between tensors and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from loralab.files import atomic_path


def to_bytes(pixels: Float[Tensor, " b 3 height width"]) -> UInt8[Tensor, " b 3 height width"]:
    """Rounds pixels in [-1, 1] to 0..255, as they are saved."""
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def from_bytes(picture: NDArray[np.uint8]) -> Float[Tensor, " 3 height width"]:
    """Gives pixels in [-1, 1] of a picture `[height, width, 3]`."""
    return torch.tensor(picture).permute(2, 0, 1).float() / 127.5 - 1


def to_image(pixels: Float[Tensor, " 3 height width"]) -> Image.Image:
    """Gives a PIL image of pixels in [-1, 1]."""
    return Image.fromarray(to_bytes(pixels[None])[0].permute(1, 2, 0).numpy())


def save_png(image: Image.Image, path: Path) -> Path:
    """Writes a PNG atomically; returns its path."""
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")
    return path
