"""The control video of motion tracks, as ComfyUI-LTXVideo draws it for the vendor's motion-track adapter.

On a black canvas whose shorter side is 1080, a point leaves a dot in each frame. In frame t the dots of frames
t - 50 to t are seen; one of age a = 0 .. 50 frames has, with r = 1 - a / 50,

    radius = 2 + 6 r        colour = red (r = 0) - green (1/3) - cyan (2/3) - blue (r = 1)

and newer dots cover older ones. The canvas is reduced to the video's size bilinearly, without smoothing. The vendor
writes the colours of a ramp that ends in red with their channels reversed, because its training data had them so:
that is why the newest dot is blue in RGB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch.nn.functional import interpolate

from loralab.data.control.tracks import SampledTracks
from loralab.errors import UserError

RAMP = np.array([0.0, 1 / 3, 2 / 3, 1.0])
RED, GREEN, BLUE = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 1.0, 0.0), (0.0, 0.0, 1.0, 1.0)
"""The channels at the places of `RAMP`."""


@dataclass(frozen=True)
class TrackStyle:
    """How dots look; the defaults are the vendor's.

    Attributes:
        canvas: the canvas's shorter side. A smaller canvas draws larger dots: small videos need it.
        trail: age in frames of the oldest dot.
        oldest_radius, newest_radius: of dots, in pixels of the canvas.

    Raises:
        UserError: a value is out of range.
    """

    canvas: int = 1080
    trail: int = 50
    oldest_radius: float = 2.0
    newest_radius: float = 8.0

    def __post_init__(self) -> None:
        for name, least in (("canvas", 8), ("trail", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name}={getattr(self, name)} must be a whole number of at least {least}")

    def dot(self, age: int) -> tuple[float, Float[np.ndarray, " 3"]]:
        """Gives radius and colour of the dot that a point left `age` frames ago."""
        r = 1.0 - age / self.trail
        colour = np.array([np.interp(r, RAMP, channel) for channel in (RED, GREEN, BLUE)], dtype=np.float32)
        return self.oldest_radius + (self.newest_radius - self.oldest_radius) * r, colour


def draw_tracks(
    tracks: SampledTracks, *, height: int, width: int, style: TrackStyle | None = None
) -> UInt8[np.ndarray, " f {height} {width} 3"]:
    """Gives the control video in RGB.

    Raises:
        UserError: the video is so much smaller than the canvas that dots would fall between its pixels.
    """
    style = style or TrackStyle()
    short = min(height, width)
    if style.canvas / short > 2 * style.newest_radius:
        largest = math.floor(2 * style.newest_radius * short)
        raise UserError(
            f"canvas={style.canvas} for a video of {width}x{height} draws dots that fall between its pixels: at most "
            f"{largest} shows the newest; canvas={4 * short} draws it with a radius of "
            f"{style.newest_radius / 4:g} pixels"
        )
    canvas_height, canvas_width = height * style.canvas // short, width * style.canvas // short
    centres = np.rint(tracks.points * (canvas_width, canvas_height)).astype(int)
    drawn = np.empty((tracks.points.shape[1], height, width, 3), dtype=np.uint8)
    for frame in range(len(drawn)):
        canvas = np.zeros((canvas_height, canvas_width, 3), dtype=np.float32)
        for age in range(min(frame, style.trail), -1, -1):
            seen = tracks.visible[:, frame - age]
            _stamp(canvas, centres[seen, frame - age], *style.dot(age))
        drawn[frame] = _reduced(canvas, height=height, width=width)
    return drawn


def _stamp(
    canvas: Float[np.ndarray, " h w 3"],
    centres: np.ndarray,
    radius: float,
    colour: Float[np.ndarray, " 3"],
) -> None:
    """Fills discs; what lies outside the canvas is cut off."""
    reach = math.floor(radius)
    offsets = np.arange(-reach, reach + 1)
    dy, dx = np.nonzero(offsets[:, None] ** 2 + offsets**2 <= radius**2)
    x = (centres[:, :1] + dx - reach).ravel()
    y = (centres[:, 1:] + dy - reach).ravel()
    inside = (x >= 0) & (x < canvas.shape[1]) & (y >= 0) & (y < canvas.shape[0])
    canvas[y[inside], x[inside]] = colour


def _reduced(
    canvas: Float[np.ndarray, " y x 3"], *, height: int, width: int
) -> UInt8[np.ndarray, " {height} {width} 3"]:
    pixels = torch.from_numpy(canvas).permute(2, 0, 1)[None]
    reduced = interpolate(pixels, size=(height, width), mode="bilinear", align_corners=False)[0]
    return np.rint(reduced.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
