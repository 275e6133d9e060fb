from __future__ import annotations

import pytest

from loralab.data.buckets import buckets_of, enlargement, nearest
from loralab.data.records import Bucket


@pytest.mark.parametrize(
    ("resolution", "size_multiple"), [(1024, 16), (512, 16), (768, 32), (1000, 16), (64, 8)]
)
def test_buckets_keep_the_area_the_multiples_and_the_aspect(resolution: int, size_multiple: int) -> None:
    buckets = buckets_of(resolution, size_multiple=size_multiple, max_aspect=2.0)

    side = resolution // size_multiple * size_multiple
    assert buckets[0] == Bucket(side, side)
    for height, width in buckets:
        assert height % size_multiple == width % size_multiple == 0
        assert height * width <= resolution**2
        assert max(height / width, width / height) <= 2.0
        assert Bucket(width, height) in buckets
        assert height * width > 0.8 * resolution**2


def test_buckets_at_1024_step_by_64_pixels() -> None:
    buckets = buckets_of(1024, size_multiple=16, max_aspect=2.0)

    assert {Bucket(1024, 1024), Bucket(832, 1216), Bucket(1216, 832)} <= set(buckets)
    assert all(height % 64 == width % 64 == 0 for height, width in buckets)


def test_the_nearest_bucket_has_the_nearest_aspect() -> None:
    buckets = buckets_of(1024, size_multiple=16, max_aspect=2.0)

    assert nearest(buckets, height=3000, width=3000) == Bucket(1024, 1024)
    assert nearest(buckets, height=2000, width=3000) == Bucket(832, 1216)
    assert nearest(buckets, height=3000, width=2000) == Bucket(1216, 832)
    assert nearest(buckets, height=100, width=9000) == nearest(buckets, height=1000, width=2000)


def test_a_resolution_below_the_smallest_side_has_no_buckets() -> None:
    assert buckets_of(8, size_multiple=16, max_aspect=2.0) == ()


def test_enlargement_is_by_the_side_that_must_grow_most() -> None:
    assert enlargement(Bucket(64, 64), height=32, width=128) == 2.0
