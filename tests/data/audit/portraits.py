"""A photo of a person, from the samples of matplotlib: Grace Hopper from the chest up."""

from __future__ import annotations

import matplotlib.cbook as samples
from PIL import Image


def portrait(*, height: int = 600) -> Image.Image:
    """The photo of 512x600 pixels, with grey below where more height is asked for."""
    with Image.open(samples.get_sample_data("grace_hopper.jpg", asfileobj=False)) as photo:
        canvas = Image.new("RGB", (photo.width, height), (128, 128, 128))
        canvas.paste(photo)
    return canvas
