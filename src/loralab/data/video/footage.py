"""The frames of one file that a clip uses, decoded when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from loralab.data.images import load_picture, resized
from loralab.data.video.contents import Probe, UnreadableError
from loralab.data.video.entries import is_picture
from loralab.data.video.sizes import fit_frame
from loralab.files import sha256_file

PICTURE_FPS = 1.0
"""Of a picture, as in the vendor's trainer."""


@dataclass(frozen=True, kw_only=True)
class Footage:
    """Frames of a video or picture file.

    Attributes:
        path: the file.
        key: SHA-256 of its content, hex.
        probe: what it holds.
        indices: which of its frames, in order; a frame may come several times.
    """

    path: Path
    key: str
    probe: Probe
    indices: tuple[int, ...]

    def pixels(self, *, height: int, width: int) -> UInt8[Tensor, " f {height} {width} 3"]:
        """Decodes the frames and fits them to a size: the largest centred part, bicubic.

        Raises:
            UnreadableError: the file cannot be decoded so far.
        """
        return self._fitted(lambda frame: fit_frame(frame, height=height, width=width))

    def levels(self, *, height: int, width: int) -> Float[Tensor, " f {height} {width}"]:
        """Decodes the frames of a mask: brightness in [0, 1] over the same part as `pixels`, area average."""
        return self._fitted(lambda frame: _grey(frame, height=height, width=width)).float() / 255.0

    def _fitted(self, fit: Callable[[np.ndarray], np.ndarray]) -> Tensor:
        distinct = sorted(set(self.indices))
        frames = dict(
            zip(distinct, (torch.from_numpy(fit(frame)) for frame in self._frames(distinct)), strict=True)
        )
        return torch.stack([frames[index] for index in self.indices])

    def _frames(self, indices: list[int]) -> Iterator[UInt8[np.ndarray, " h w 3"]]:
        if is_picture(self.path):
            return iter([np.array(_picture(self.path), dtype=np.uint8)])
        from loralab.data.video.decode import read_frames

        return read_frames(self.path, indices)


def inspected(path: Path) -> tuple[str, Probe]:
    """Gives the key of a video or picture file and what it holds.

    Raises:
        UnreadableError: it cannot be used.
    """
    if not path.is_file():
        raise UnreadableError(path, "is not there.")
    return sha256_file(path), _probe_picture(path) if is_picture(path) else _probe_video(path)


def _probe_video(path: Path) -> Probe:
    from loralab.data.video.probe import probe

    return probe(path)


def _probe_picture(path: Path) -> Probe:
    width, height = _picture(path).size
    return Probe(
        width=width,
        height=height,
        times=(0.0,),
        duration=1 / PICTURE_FPS,
        start=0.0,
        fps=PICTURE_FPS,
        constant=True,
        sound=None,
    )


def _picture(path: Path) -> Image.Image:
    try:
        return load_picture(path)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableError(path, f"cannot be decoded as a picture ({error}).") from error


def _grey(
    pixels: UInt8[np.ndarray, " h w 3"], *, height: int, width: int
) -> UInt8[np.ndarray, " {height} {width}"]:
    picture = Image.fromarray(pixels).convert("L")
    return np.array(resized(picture, height=height, width=width, filter=Image.Resampling.BOX), dtype=np.uint8)
