from __future__ import annotations

import numpy as np
import pytest

from loralab.data.video.sizes import VideoBucket, choose_bucket, fit_frame, parse_buckets
from loralab.errors import UserError


def parsed(text: str | list[str], multiple: int = 32) -> tuple[VideoBucket, ...]:
    return parse_buckets(text, key="buckets", multiple=multiple)


def test_buckets_are_written_as_width_height_frames() -> None:
    buckets = parsed("768x448x89; 448x768x9;")

    assert (
        buckets
        == (VideoBucket(89, 448, 768), VideoBucket(9, 768, 448))
        == parsed(["768x448x89", "448x768x9"])
    )
    assert str(buckets[0]) == "768x448x89"


@pytest.mark.parametrize(
    ("text", "multiple", "message"),
    [
        ("", 32, "buckets is empty; give sizes as buckets=768x448x89"),
        ("768x448", 32, "buckets=768x448: is not width x height x frames"),
        ("768x450x89", 32, "its height 450 is no multiple of 32; take 448 or 480"),
        ("16x448x89", 32, "its width 16 is no multiple of 32; take 32"),
        ("0x448x89", 32, "its width 0 is no multiple of 32; take 32"),
        ("768x448x90", 32, r"its 90 frames are not 8k \+ 1; take 89 or 97"),
        ("768x448x0", 32, r"its 0 frames are not 8k \+ 1; take 1"),
        ("736x448x89", 64, r"its width 736 is no multiple of 64 \(references are smaller\); take 704 or 768"),
        ("64x64x9;64x64x9", 32, "buckets lists 64x64x9 twice"),
    ],
)
def test_bad_buckets_say_what_to_take_instead(text: str, multiple: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parsed(text, multiple)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(UserError) as raised:
        parsed("770x450x90;640x")

    assert str(raised.value).count("\n") == 4


@pytest.mark.parametrize(
    ("frames", "size", "chosen"),
    [
        (200, (640, 360), "768x448x89"),
        (60, (640, 360), "768x448x49"),
        (200, (360, 640), "448x768x89"),
        (60, (360, 640), "768x448x49"),  # upright ones have too many frames: any shape before none
        (89, (500, 500), "512x512x9"),
    ],
)
def test_the_bucket_is_nearest_in_shape_then_longest_then_largest(
    frames: int, size: tuple[int, int], chosen: str
) -> None:
    buckets = parsed("768x448x49;384x224x49;768x448x89;448x768x89;512x512x9;256x256x9")
    if frames == 60 and size == (360, 640):
        buckets = tuple(bucket for bucket in buckets if bucket.width != bucket.height)

    bucket = choose_bucket(buckets, frames=frames, width=size[0], height=size[1])

    assert str(bucket) == chosen


def test_a_clip_shorter_than_all_has_no_bucket() -> None:
    assert choose_bucket(parsed("64x64x9;64x64x17"), frames=8, width=64, height=64) is None


def test_a_frame_covers_its_bucket_and_loses_both_sides_alike() -> None:
    pixels = np.zeros((64, 128, 3), dtype=np.uint8)
    pixels[:, :32] = pixels[:, -32:] = 255
    pixels[:, 32:96, 1] = 100

    fitted = fit_frame(pixels, height=32, width=32)

    assert fitted.shape == (32, 32, 3)
    assert fitted[:, 2:-2].reshape(-1, 3).tolist() == [[0, 100, 0]] * (32 * 28)
