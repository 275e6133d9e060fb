"""Controls in the manner of `loralab.data.moving.controls`, drawn for a batch where it is: for the VAE to see some.

Edges are where brightness changes from a pixel to the next, not Canny's; dots are drawn as the track drawing does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from loralab.data.moving.controls import HALF, STYLE
from loralab.data.moving.frames import Clips
from loralab.data.moving.motion import motion_of
from loralab.data.moving.scene import SIDE, Scene

STEP = 0.3
"""Change of brightness, of -1 to 1, that is an edge."""


def like_controls(clips: Clips, scenes: Sequence[Scene]) -> Clips:
    """Edges of the first half of a batch of half-size clips, and curves of dots for the second."""
    half = len(scenes) // 2
    edges = edged(clips.pixels[:half])
    dots = dotted(scenes[half:], num_frames=clips.pixels.shape[2], device=clips.pixels.device)
    seen = torch.cat([clips.cover[:half], (dots > -1).any(1, keepdim=True).float()])
    return Clips(torch.cat([edges, dots]), seen)


def edged(pixels: Float[Tensor, " b 3 f h w"]) -> Float[Tensor, " b 3 f h w"]:
    """White where brightness changes, black elsewhere."""
    brightness = pixels.mean(1, keepdim=True)
    across = pad((brightness[..., 1:] - brightness[..., :-1]).abs(), (0, 1))
    down = pad((brightness[..., 1:, :] - brightness[..., :-1, :]).abs(), (0, 0, 0, 1))
    return torch.where(across + down > STEP, 1.0, -1.0).expand_as(pixels).contiguous()


def dotted(scenes: Sequence[Scene], *, num_frames: int, device: torch.device) -> Float[Tensor, " b 3 f h w"]:
    """The dots that the centres of scenes leave, newer over older."""
    drawn = torch.full((len(scenes), 3, num_frames, HALF, HALF), -1.0, device=device)
    radii, colours = zip(*(STYLE.dot(age) for age in range(num_frames)), strict=True)
    tones = torch.from_numpy(np.stack(colours)).float().to(device) * 2 - 1
    for age in reversed(range(num_frames)):
        discs = _discs(scenes, radius=radii[age] * HALF / STYLE.canvas, num_frames=num_frames, device=device)
        shown = drawn[:, :, age:]
        shown.copy_(
            torch.where(discs[:, None, : num_frames - age], tones[age, None, :, None, None, None], shown)
        )
    return drawn


def _discs(
    scenes: Sequence[Scene], *, radius: float, num_frames: int, device: torch.device
) -> Bool[Tensor, " b f h w"]:
    centres = np.stack([motion_of(scene, num_frames=num_frames).centres for scene in scenes]) * (HALF / SIDE)
    x, y = torch.from_numpy(centres).to(device)[..., None, None].unbind(2)
    place = torch.arange(HALF, device=device) + 0.5
    return (place - x).square() + (place[:, None] - y).square() <= radius**2
