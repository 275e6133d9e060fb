"""Sizes in which pictures are trained: for a resolution R, sides in multiples of a step and an area of at
most R·R.

The step is R/16 rounded to the model's `size_multiple` (64 pixels at R = 1024): fine enough to crop little,
coarse enough that pictures of similar shape meet in a micro-batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from loralab.data.records import Bucket

STEPS_PER_SIDE = 16


@cache
def buckets_of(resolution: int, *, size_multiple: int, max_aspect: float) -> tuple[Bucket, ...]:
    """Gives the buckets of one resolution, square first: every aspect up to `max_aspect`, both ways up."""
    side = resolution // size_multiple * size_multiple
    if side == 0:
        return ()
    step = max(1, round(resolution / STEPS_PER_SIDE / size_multiple)) * size_multiple
    found = {Bucket(side, side)}
    for width in range(step, int(resolution * math.sqrt(max_aspect)) + step, step):
        height = resolution * resolution // width // step * step
        if height and max(width / height, height / width) <= max_aspect:
            found |= {Bucket(height, width), Bucket(width, height)}
    return tuple(
        sorted(found, key=lambda bucket: (abs(_log_aspect(*bucket)), -bucket.height * bucket.width, bucket))
    )


def nearest(candidates: Sequence[Bucket], *, height: int, width: int) -> Bucket:
    """Gives the bucket whose aspect is nearest to the picture's; the larger one of equals."""
    aspect = _log_aspect(height, width)
    return min(
        candidates, key=lambda bucket: (abs(_log_aspect(*bucket) - aspect), -bucket.height * bucket.width)
    )


def enlargement(bucket: Bucket, *, height: int, width: int) -> float:
    """Gives the factor by which a picture is enlarged to fill the bucket (below 1: made smaller)."""
    return max(bucket.height / height, bucket.width / width)


def _log_aspect(height: int, width: int) -> float:
    return math.log(width / height)
