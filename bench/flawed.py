"""A folder of pictures with one of each mistake, for `python -m loralab check`.

    python bench/flawed.py flawed
    python -m loralab check experiment=zimage_turbo_photo dataset.root=flawed dataset.trigger=sks \
        dataset.trigger_policy=written
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE, BLUR = 1024, 8
SENTENCE = "A photo of sks, who stands in a garden at noon and holds {} in the left hand"
HOSTILE = "sks beside a sign that reads <script>alert('x')</script> & \"more\", on a wall of red brick"


def scene(seed: int, *, width: int = SIDE, height: int = SIDE) -> Image.Image:
    """Draws shapes on ground with grain, as no other seed does: sharp, and unlike any other."""
    source = np.random.default_rng(seed)
    coarse = source.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y = source.integers(0, width), source.integers(0, height)
        size = source.integers(min(width, height) // 12, min(width, height) // 4)
        draw.ellipse((x, y, x + size, y + size), fill=tuple(int(c) for c in source.integers(0, 256, 3)))
    grain = source.normal(0, 8, (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))


def save_flawed(folder: Path, *, side: int = SIDE) -> Path:
    """Writes the folder; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    sized = {"width": side, "height": side}
    for number, thing in enumerate(("an apple", "a book", "a cup", "a dog")):
        _save(scene(number, **sized), folder / f"good_{number}.png", caption=SENTENCE.format(thing))
        (folder / f"good_{number}.framing").write_text(
            "full body" if number else "close-up", encoding="utf-8"
        )
    _save(scene(0, **sized), folder / "copy_of_0.jpg", caption=SENTENCE.format("an apple by the stem"))
    blurred = scene(10, **sized).filter(ImageFilter.GaussianBlur(BLUR))
    _save(blurred, folder / "blurred.png", caption=SENTENCE.format("a lamp"))
    _save(scene(11, width=4 * side, height=side), folder / "wide.png", caption=SENTENCE.format("a rope"))
    _save(scene(12, **sized), folder / "tags.png", caption="sks, 1girl, solo, red hair, smile")
    _save(scene(13, **sized), folder / "short.png", caption="sks smiling")
    _save(
        scene(14, **sized), folder / "no_trigger.png", caption="A woman stands in a garden at noon and waves"
    )
    for number in (15, 16):
        _save(scene(number, **sized), folder / f"same_{number}.png", caption=SENTENCE.format("nothing"))
    _save(scene(17, **sized), folder / "hostile.png", caption=HOSTILE)
    _save(scene(18, width=side // 8, height=side // 8), folder / "tiny.png", caption=SENTENCE.format("a pin"))
    scene(19, **sized).save(folder / "no_caption.png")
    whole = folder / "good_1.png"
    (folder / "corrupt.png").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "corrupt.txt").write_text(SENTENCE.format("a torn page"), encoding="utf-8")
    return folder


def _save(picture: Image.Image, path: Path, *, caption: str) -> None:
    picture.save(path, **({"quality": 80} if path.suffix == ".jpg" else {}))
    path.with_suffix(".txt").write_text(caption, encoding="utf-8")


if __name__ == "__main__":
    print(save_flawed(Path(sys.argv[1])))
