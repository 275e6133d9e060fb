"""Sharpness and fingerprints of pictures, and which pictures count as copies."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from bench.flawed import scene
from PIL import Image, ImageFilter
from tests.data.pictures import dataset, draw

from loralab.data.audit.copies import copies
from loralab.data.audit.looks import Look, dhash, look_at, looks_of, sharpness
from loralab.data.records import Bucket

SIDE = 256
BUCKET = Bucket(SIDE, SIDE)
PICTURE = scene(0, width=SIDE, height=SIDE)


def recompressed(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=50)
    return Image.open(buffer)


CHANGES = {
    "recompressed": recompressed,
    "smaller": lambda picture: picture.resize((160, 160)),
    "brighter": lambda picture: picture.point(lambda value: min(255, int(value * 1.1))),
    "cropped by a hair": lambda picture: picture.crop((2, 2, SIDE - 2, SIDE - 2)),
}


def looks(*pictures: Image.Image) -> list[Look]:
    return [look_at(picture, BUCKET) for picture in pictures]


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    ramp = np.tile(np.arange(0, 64, dtype=np.uint8), (8, 1))
    dot = np.zeros((5, 5), dtype=np.uint8)
    dot[2, 2] = 10

    assert sharpness(ramp) == 0
    assert sharpness(dot) == pytest.approx(np.var([0, 10, 0, 10, -40, 10, 0, 10, 0]))


def test_blurring_lowers_sharpness_far_below_the_bound() -> None:
    sharp, soft = looks(PICTURE, PICTURE.filter(ImageFilter.GaussianBlur(3)))

    assert sharp.sharpness > 100
    assert soft.sharpness < 25


def test_the_fingerprint_tells_where_brightness_rises() -> None:
    rising = Image.fromarray(np.tile(np.arange(0, 252, 28, dtype=np.uint8), (8, 1)))

    assert dhash(rising) == 2**64 - 1
    assert dhash(rising.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) == 0


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_copy_is_found_among_other_pictures(change) -> None:
    others = [scene(seed, width=SIDE, height=SIDE) for seed in (1, 2, 3)]

    assert copies(looks(*others, PICTURE, change(PICTURE))) == [[3, 4]]


def test_a_mirrored_picture_and_others_are_no_copies() -> None:
    mirrored = PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)

    assert (
        copies(looks(PICTURE, mirrored, *(scene(seed, width=SIDE, height=SIDE) for seed in range(1, 6))))
        == []
    )


def test_flat_pictures_are_copies_only_where_they_have_one_colour() -> None:
    flat = [Image.new("RGB", (64, 64), colour) for colour in ("red", "white", "white")]

    assert copies(looks(*flat)) == [[1, 2]]


def test_copies_of_copies_are_one_group() -> None:
    both = (PICTURE, recompressed(PICTURE), CHANGES["smaller"](PICTURE))

    assert copies(looks(*both)) == [[0, 1, 2]]


def test_what_was_seen_is_remembered(tmp_path: Path) -> None:
    draw(tmp_path / "p" / "a.png", caption="noise")
    records = dataset(tmp_path / "p").collect(16).train
    first = looks_of(records, cache_root=tmp_path / "cache")
    records[0].path.unlink()

    assert looks_of(records, cache_root=tmp_path / "cache") == first
