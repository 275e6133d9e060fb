"""Sizes in which clips are trained: 8k + 1 frames (the VAE keeps the first frame alone and then takes eight at a
time) and sides in multiples of 32 pixels, or of 32 d where references are d times smaller.

A clip goes into the bucket, of those with no more frames than it has, that minimises
    (|log(aspect of the bucket / aspect of the clip)|, -frames, -area).
Buckets of one frame are for pictures: beside longer ones no video goes there, where its motion would be lost.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from loralab.data.images import resized
from loralab.errors import UserError, joined, nearest

FRAMES_PER_LATENT = 8
PIXELS_PER_LATENT = 32
SAMPLE_RATE = 16_000
"""Of sound as trained, in Hz."""
SYNTAX = re.compile(r"\s*(\d+)\s*x\s*(\d+)\s*x\s*(\d+)\s*")


class VideoBucket(NamedTuple):
    """Frames and pixels of a clip as trained, written as width x height x frames; clips of a bucket share a batch."""

    frames: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.frames}"


def parse_buckets(text: str | Sequence[str], *, key: str, multiple: int) -> tuple[VideoBucket, ...]:
    """Gives the buckets of `WxHxF;WxHxF`, or of a list of `WxHxF`.

    Args:
        text: as typed.
        key: of the setting, for messages.
        multiple: what sides must be a multiple of.

    Raises:
        UserError: lists all that is wrong with them.
    """
    if problems := list(bucket_problems(text, key=key, multiple=multiple)):
        raise UserError(f"these buckets cannot be:\n{joined(problems)}")
    return tuple(_bucket(part) for part in _parts(text))


def bucket_problems(text: str | Sequence[str], *, key: str, multiple: int) -> Iterator[str]:
    """Yields what is wrong with buckets as typed, arguments as in `parse_buckets`."""
    parts = _parts(text)
    if not parts:
        yield f"{key} is empty; give sizes as {key}=768x448x89, several as '768x448x89;448x768x89'"
    yield from (f"{key}={part}: {reason}" for part in parts for reason in _faults(part, multiple))
    yield from (f"{key} lists {part} twice" for part in dict.fromkeys(parts) if parts.count(part) > 1)


def held_frames(frames: int, *, span: int = FRAMES_PER_LATENT) -> int:
    """Gives how many of these frames latents hold: the largest span k + 1 that is not above them."""
    return (frames - 1) // span * span + 1


def choose_bucket(
    buckets: Sequence[VideoBucket], *, frames: int, height: int, width: int
) -> VideoBucket | None:
    """Gives the bucket of a clip, None where it is shorter than all of them."""
    aspect = math.log(width / height)
    fitting = [bucket for bucket in buckets if bucket.frames <= frames]
    return min(
        fitting,
        key=lambda bucket: (
            abs(math.log(bucket.width / bucket.height) - aspect),
            -bucket.frames,
            -bucket.width * bucket.height,
        ),
        default=None,
    )


def for_videos(buckets: Sequence[VideoBucket]) -> Sequence[VideoBucket]:
    """Gives the buckets of several frames; all of them where there are none."""
    return [bucket for bucket in buckets if bucket.frames > 1] or buckets


def fit_frame(
    pixels: UInt8[np.ndarray, " h w 3"], *, height: int, width: int
) -> UInt8[np.ndarray, " {height} {width} 3"]:
    """Gives the largest centred part of the right shape, resized once (bicubic, with anti-aliasing)."""
    picture = Image.fromarray(pixels)
    fitted = resized(picture, height=height, width=width, filter=Image.Resampling.BICUBIC)
    return np.array(fitted, dtype=np.uint8)


def _parts(text: str | Sequence[str]) -> list[str]:
    parts = text.split(";") if isinstance(text, str) else text
    return [part for part in map(str.strip, parts) if part]


def _bucket(part: str) -> VideoBucket:
    found = SYNTAX.fullmatch(part)
    assert found is not None
    width, height, frames = map(int, found.groups())
    return VideoBucket(frames, height, width)


def _faults(part: str, multiple: int) -> Iterator[str]:
    if not SYNTAX.fullmatch(part):
        yield "is not width x height x frames, such as 768x448x89"
        return
    bucket = _bucket(part)
    for name, side in (("width", bucket.width), ("height", bucket.height)):
        if side == 0 or side % multiple:
            why = "" if multiple == PIXELS_PER_LATENT else " (references are smaller)"
            yield f"its {name} {side} is no multiple of {multiple}{why}; take {nearest(side, step=multiple, rest=0)}"
    if bucket.frames != held_frames(bucket.frames):
        right = nearest(bucket.frames, step=FRAMES_PER_LATENT, rest=1)
        yield f"its {bucket.frames} frames are not 8k + 1; take {right}"
