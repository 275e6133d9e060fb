"""What a picture looks like in a few numbers: how sharp it is, and a fingerprint that small changes leave alone.

sharpness = variance of L over the grey picture in [0, 255] at the size that is trained
L         = up + down + left + right - 4 centre                 (Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548)

dhash bit = grey(row, column) < grey(row, column + 1) of the picture at 8 x 9        (64 bits; Krawetz 2013, "dHash")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from loralab.data.images import load_picture, resized
from loralab.data.memo import in_threads, remembered
from loralab.data.records import Bucket, Record

LOOKS_VERSION = 1
HASH_SIDE = 8
THUMB_SIDE = 16


@dataclass(frozen=True)
class Look:
    """A picture in numbers.

    Attributes:
        sharpness: variance of the Laplacian.
        dhash: 64 bits.
        thumb: the grey picture at 16 x 16, row by row, in hex.
    """

    sharpness: float
    dhash: int
    thumb: str


def looks_of(records: Sequence[Record], *, cache_root: Path) -> list[Look]:
    """Looks at pictures, at the size in which each is trained; what was seen once is remembered below the cache."""
    return in_threads("look at pictures", records, lambda record: _remembered(record, cache_root))


def look_at(picture: Image.Image, bucket: Bucket) -> Look:
    """Looks at one picture."""
    fitted = resized(picture, height=bucket.height, width=bucket.width, filter=Image.Resampling.LANCZOS)
    grey = fitted.convert("L")
    thumb = grey.resize((THUMB_SIDE, THUMB_SIDE), Image.Resampling.BOX).tobytes().hex()
    return Look(sharpness=sharpness(np.asarray(grey)), dhash=dhash(grey), thumb=thumb)


def sharpness(grey: UInt8[np.ndarray, " h w"]) -> float:
    """Gives the variance of the Laplacian."""
    values = grey.astype(np.float64)
    around = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    return float((around - 4 * values[1:-1, 1:-1]).var())


def dhash(picture: Image.Image) -> int:
    """Gives 64 bits that tell whether brightness rises from left to right."""
    small = picture.convert("L").resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    values = np.asarray(small).astype(np.int16)
    return int("".join("1" if bit else "0" for bit in (values[:, :-1] < values[:, 1:]).ravel()), 2)


def _remembered(record: Record, cache_root: Path) -> Look:
    bucket = record.buckets[0]
    return remembered(
        cache_root,
        f"look-{LOOKS_VERSION}",
        record.key,
        see=lambda: look_at(load_picture(record.path), bucket),
        read=lambda known: Look(**known),
        form=f"-{bucket}",
    )
