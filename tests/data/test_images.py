from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from loralab.data.images import cropped_share, fit_mask, fit_to, load_alpha, load_mask, load_picture

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def pixel(picture: Image.Image, x: int = 0, y: int = 0) -> tuple[int, ...]:
    return tuple(int(value) for value in np.asarray(picture)[y, x])


def test_a_rotated_photo_stands_upright(tmp_path: Path) -> None:
    lying = Image.new("RGB", (4, 2), RED)
    lying.putpixel((0, 0), BLUE)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    lying.save(tmp_path / "a.png", exif=exif)

    upright = load_picture(tmp_path / "a.png")

    assert upright.size == (2, 4)
    assert pixel(upright, x=1, y=0) == BLUE


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(tmp_path: Path, mode: str) -> None:
    clear = Image.new("RGBA", (2, 1), (10, 10, 10, 0))
    clear.putpixel((1, 0), (10, 10, 10, 255))
    if mode == "P":
        clear = clear.quantize(colors=2)
    (clear if mode in ("RGBA", "P") else clear.convert(mode)).save(tmp_path / "a.png")

    picture = load_picture(tmp_path / "a.png")

    assert picture.mode == "RGB"
    assert pixel(picture) == (255, 255, 255)
    assert pixel(picture, x=1) == (10, 10, 10)


def test_half_transparent_is_halfway_to_white(tmp_path: Path) -> None:
    Image.new("RGBA", (1, 1), (0, 0, 0, 128)).save(tmp_path / "a.png")

    assert pixel(load_picture(tmp_path / "a.png")) == pytest.approx((127, 127, 127), abs=1)


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (32896, 128), (65535, 255), (300, 1)])
def test_16_bit_grey_keeps_its_tones(tmp_path: Path, value: int, expected: int) -> None:
    Image.fromarray(np.full((2, 2), value, dtype=np.uint16)).save(tmp_path / "a.png")

    assert pixel(load_picture(tmp_path / "a.png")) == (expected,) * 3


def test_float_pictures_from_0_to_1_use_the_whole_range(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32)).save(tmp_path / "a.tiff")

    assert np.asarray(load_picture(tmp_path / "a.tiff"))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(("mode", "colour"), [("1", 1), ("L", 255), ("P", 0), ("CMYK", (0, 0, 0, 0))])
def test_every_colour_mode_becomes_rgb(tmp_path: Path, mode: str, colour: int | tuple[int, ...]) -> None:
    picture = Image.new(mode, (2, 2), colour)
    if mode == "P":
        picture.putpalette([255, 255, 255])
    picture.save(tmp_path / "a.tiff")

    loaded = load_picture(tmp_path / "a.tiff")

    assert loaded.mode == "RGB"
    assert pixel(loaded) == (255, 255, 255)


def test_a_moving_picture_gives_its_first_frame(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (2, 2), RED), Image.new("RGB", (2, 2), GREEN)
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])

    assert pixel(load_picture(tmp_path / "a.gif")) == RED


def test_an_embedded_profile_is_converted_and_a_broken_one_left_out(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"????", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"????", b"gXYZ", 1)
    picture = Image.new("RGB", (2, 2), RED)
    for name, embedded in (("broken", b"not a profile"), ("same", profile), ("swapped", swapped)):
        picture.save(tmp_path / f"{name}.png", icc_profile=embedded)

    assert pixel(load_picture(tmp_path / "broken.png")) == RED
    assert pixel(load_picture(tmp_path / "same.png")) == pytest.approx(RED, abs=1)
    assert pixel(load_picture(tmp_path / "swapped.png")) == pytest.approx(GREEN, abs=1)


def test_a_cut_off_file_is_an_os_error(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:900])
    (tmp_path / "text.png").write_text("no picture")

    for name in ("cut.jpg", "text.png"):
        with pytest.raises(OSError, match=r"truncated|cannot identify"):
            load_picture(tmp_path / name)


def test_fitting_crops_the_centre_and_maps_to_minus_one_to_one() -> None:
    stripes = Image.new("RGB", (30, 10), RED)
    stripes.paste(BLUE, (10, 0, 20, 10))

    pixels = fit_to(stripes, height=5, width=5)

    assert pixels.shape == (3, 5, 5)
    assert pixels[:, 2, 2].tolist() == pytest.approx([-1.0, -1.0, 1.0], abs=0.02)
    assert cropped_share(width=30, height=10, bucket_height=5, bucket_width=5) == pytest.approx(2 / 3)


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)

    pixels = fit_to(Image.fromarray(values), height=8, width=8)

    assert np.array_equal(((pixels + 1) * 127.5).round().byte().permute(1, 2, 0).numpy(), values)


def test_a_mask_is_averaged_over_what_a_latent_covers(tmp_path: Path) -> None:
    mask = Image.new("L", (16, 16), 0)
    mask.paste(255, (0, 0, 4, 16))
    mask.save(tmp_path / "m.png")

    fitted = fit_mask(load_mask(tmp_path / "m.png"), height=2, width=2)

    assert torch.allclose(fitted, torch.tensor([[[0.5, 0.0], [0.5, 0.0]]]), atol=1 / 255)


def test_alpha_is_read_where_there_is_one(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (0, 0, 0, 7)).save(tmp_path / "a.png")
    Image.new("RGB", (2, 2)).save(tmp_path / "b.png")

    alpha = load_alpha(tmp_path / "a.png")

    assert alpha is not None
    assert alpha.getextrema() == (7, 7)
    assert load_alpha(tmp_path / "b.png") is None
