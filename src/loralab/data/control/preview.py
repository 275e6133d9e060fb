"""One picture of a control video of tracks: some of its frames, each over the whole way of its points."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from loralab.data.control.tracks import SampledTracks

NUM_SHOWN, NUM_COLUMNS = 6, 3
CELL_WIDTH, GAP, FONT_SIZE = 400, 6, 16
RING = 7
PAPER, CURVE, INK = (236, 236, 233), (150, 150, 150), (255, 255, 255)
DIMMED = 0.45
"""What is left of a background picture's brightness, so that dots stand out."""


def contact_sheet(
    video: UInt8[np.ndarray, " f h w 3"], tracks: SampledTracks, *, background: Image.Image | None = None
) -> Image.Image:
    """Gives a sheet of six frames, first and last among them, in reading order.

    A grey line is all of a track, as far as it is visible; dots are as drawn, and a white ring is around where the
    point is now. `background` lies dimmed below them: the first frame that the tracks are meant for, for example.
    """
    shown = np.unique(np.linspace(0, len(video) - 1, NUM_SHOWN).round().astype(int))
    height = max(round(CELL_WIDTH * video.shape[1] / video.shape[2]), 1)
    num_columns = min(NUM_COLUMNS, len(shown))
    num_rows = -(-len(shown) // num_columns)
    size = (num_columns * (CELL_WIDTH + GAP) + GAP, num_rows * (height + GAP) + GAP)
    sheet = Image.new("RGB", size, PAPER)
    base = _base(tracks, height=height, background=background)
    for place, frame in enumerate(shown):
        row, column = divmod(place, num_columns)
        now = tracks.points[tracks.visible[:, frame], frame] * base.size
        cell = _cell(video[frame], base, now=now, label=f"frame {frame}")
        sheet.paste(cell, (GAP + column * (CELL_WIDTH + GAP), GAP + row * (height + GAP)))
    return sheet


def _base(tracks: SampledTracks, *, height: int, background: Image.Image | None) -> Image.Image:
    base = Image.new("RGB", (CELL_WIDTH, height))
    if background is not None:
        fitted = background.convert("RGB").resize(base.size, Image.Resampling.LANCZOS)
        base = Image.blend(base, fitted, DIMMED)
    pen = ImageDraw.Draw(base)
    for points, visible in zip(tracks.points * base.size, tracks.visible, strict=True):
        for start in np.flatnonzero(visible[:-1] & visible[1:]):
            pen.line([tuple(points[start]), tuple(points[start + 1])], fill=CURVE)
    return base


def _cell(
    frame: UInt8[np.ndarray, " h w 3"], base: Image.Image, *, now: Float[np.ndarray, " k 2"], label: str
) -> Image.Image:
    dots = Image.fromarray(frame).resize(base.size, Image.Resampling.LANCZOS)
    cell = base.copy()
    cell.paste(dots, mask=Image.fromarray(np.asarray(dots).max(axis=2)))
    pen = ImageDraw.Draw(cell)
    for x, y in now:
        pen.ellipse((x - RING, y - RING, x + RING, y + RING), outline=INK)
    pen.text((8, 6), label, fill=INK, font=ImageFont.load_default(FONT_SIZE))
    return cell
