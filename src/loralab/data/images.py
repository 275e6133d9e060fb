"""Any picture file as upright 8-bit sRGB, and that as a tensor of a bucket's size."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

BROKEN = (
    SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, AttributeError, RuntimeError,
    MemoryError, struct.error,
)  # fmt: skip
"""What Pillow's readers raise beside OSError for a damaged file; bench/fuzz.py met the RuntimeError, in AVIF."""
LARGEST_PIXELS = 2**26
"""8192x8192: a file of a few bytes can claim more, and would be given the memory for it before it is found false."""
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")


def load_picture(path: str | Path) -> Image.Image:
    """Gives the first frame as RGB: EXIF rotation applied, alpha over white, 16 bits and profiles converted.

    Raises:
        OSError: the file is no picture, is cut short or cannot be read.
    """
    picture = _upright(path)
    if not _has_alpha(picture):
        return _to_srgb(picture)
    alpha = picture.convert("RGBA").getchannel("A")
    white = Image.new("RGB", picture.size, "white")
    white.paste(_to_srgb(picture), mask=alpha)
    return white


def load_mask(path: str | Path) -> Image.Image:
    """Gives a mask file as 8-bit grey: white where the loss counts. Transparency counts as black."""
    picture = _upright(path)
    grey = picture.convert("RGB").convert("L")
    if not _has_alpha(picture):
        return grey
    return Image.composite(grey, Image.new("L", grey.size, 0), picture.convert("RGBA").getchannel("A"))


def load_alpha(path: str | Path) -> Image.Image | None:
    """Gives the picture's alpha channel as 8-bit grey, None where it has none."""
    picture = _upright(path)
    return picture.convert("RGBA").getchannel("A") if _has_alpha(picture) else None


def fit_to(picture: Image.Image, *, height: int, width: int) -> Float[Tensor, " 3 {height} {width}"]:
    """Gives pixels in [-1, 1]: the largest centred part of the right shape, resized once (Lanczos)."""
    fitted = resized(picture, height=height, width=width, filter=Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(fitted, dtype=np.uint8)).permute(2, 0, 1)
    return pixels.float() / 127.5 - 1.0


def fit_mask(mask: Image.Image, *, height: int, width: int) -> Float[Tensor, " 1 {height} {width}"]:
    """Gives the mask in [0, 1] over the same part as `fit_to`, at the size of the latents (area average)."""
    fitted = resized(mask, height=height, width=width, filter=Image.Resampling.BOX)
    return torch.from_numpy(np.array(fitted, dtype=np.uint8))[None].float() / 255.0


def resized(picture: Image.Image, *, height: int, width: int, filter: Image.Resampling) -> Image.Image:
    """Gives the largest centred part of the right shape, resized once."""
    scale = max(height / picture.height, width / picture.width)
    kept_width, kept_height = min(width / scale, picture.width), min(height / scale, picture.height)
    left, top = (picture.width - kept_width) / 2, (picture.height - kept_height) / 2
    box = (left, top, left + kept_width, top + kept_height)
    return picture.resize((width, height), filter, box=box)


def _upright(path: str | Path) -> Image.Image:
    with _opened(path) as opened:
        if opened.width * opened.height > LARGEST_PIXELS:
            raise OSError(
                f"{opened.width}x{opened.height} is more than {LARGEST_PIXELS} pixels; save it smaller"
            )
        try:
            opened.load()
            profile = opened.info.get("icc_profile")
            picture = _to_8_bit(ImageOps.exif_transpose(opened))
        except BROKEN as error:
            raise OSError(f"broken picture data ({error})") from error
    if profile:
        picture.info["icc_profile"] = profile
    return picture


def _opened(path: str | Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sizes are judged here
            return Image.open(path)
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise OSError(f"broken picture data ({error})") from error


def _to_8_bit(picture: Image.Image) -> Image.Image:
    """Scales grey pictures deeper than 8 bits: integers from 16 bits, floats from [0, 1] if inside."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture).astype(np.float64)
    if picture.mode.startswith("I"):
        values = values / 257 if values.max(initial=0) > 255 or picture.mode != "I" else values
    elif values.max(initial=0) <= 1:
        values = values * 255
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _has_alpha(picture: Image.Image) -> bool:
    return picture.has_transparency_data


def _to_srgb(picture: Image.Image) -> Image.Image:
    """Converts colours through the embedded profile; a profile that does not fit or is broken is left out."""
    profile = picture.info.get("icc_profile")
    plain = (
        picture
        if picture.mode in ("RGB", "CMYK")
        else picture.convert("RGBA" if _has_alpha(picture) else "RGB")
    )
    if not profile or picture.mode in ("1", "L", "LA", "La"):
        return plain.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        colours = plain if plain.mode == "CMYK" else plain.convert("RGB")
        converted = ImageCms.profileToProfile(
            colours, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return plain.convert("RGB")
    return plain.convert("RGB") if converted is None else converted


def cropped_share(*, width: int, height: int, bucket_height: int, bucket_width: int) -> float:
    """Gives the share of the picture's area that `fit_to` cuts away."""
    scale = max(bucket_height / height, bucket_width / width)
    return 1.0 - bucket_height * bucket_width / (scale * scale * width * height)
