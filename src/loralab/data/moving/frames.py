"""Clips in pixels: each frame is the emoji's tile, turned and scaled about its centre, over a plain colour.

    output pixel p shows the tile at  32 + R(angle) (p - centre) 64 / size,  bilinearly, with premultiplied alpha

Tiles are blurred for emoji that are smaller than they are. One draw makes a whole batch on its device.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from loralab.data.emoji.atlas import TILE, tile
from loralab.data.emoji.render import COLOURS
from loralab.data.moving.motion import Motion, motion_of
from loralab.data.moving.scene import SIDE, Scene


class Clips(NamedTuple):
    """Pixels in [-1, 1] and how much of each is emoji, in [0, 1]."""

    pixels: Float[Tensor, " b 3 frames side side"]
    cover: Float[Tensor, " b 1 frames side side"]


def draw_clips(scenes: Sequence[Scene], *, device: torch.device | str = "cpu", side: int = SIDE) -> Clips:
    """The clips of scenes, in `side` pixels where the scene has 192."""
    motions = [motion_of(scene) for scene in scenes]
    tiles = torch.stack([premultiplied(scene.name) for scene in scenes]).to(device)
    colours = torch.tensor([COLOURS[scene.background] for scene in scenes], device=device) / 127.5 - 1
    num_frames = len(motions[0].sizes)
    grid = affine_grid(
        transforms(motions).to(device), [len(scenes) * num_frames, 4, side, side], align_corners=False
    )
    shown = grid_sample(tiles.repeat_interleave(num_frames, 0), grid, align_corners=False)
    shown = shown.unflatten(0, (len(scenes), num_frames)).transpose(1, 2)
    colour, cover = shown.split([3, 1], dim=1)
    backdrop = colours[:, :, None, None, None]
    return Clips(colour + (1 - cover) * backdrop, cover)


def transforms(motions: Sequence[Motion]) -> Float[Tensor, " bf 2 3"]:
    """From pixels to places in the tile, both from -1 to 1, as `affine_grid` takes them."""
    stacked = [
        np.stack(parts) for parts in zip(*((m.centres, m.sizes, m.angles) for m in motions), strict=True)
    ]
    centres, sizes, angles = (torch.from_numpy(part).flatten(0, 1) for part in stacked)
    scale = SIDE / sizes
    radians = torch.deg2rad(angles)
    turn = torch.stack([radians.cos(), -radians.sin(), radians.sin(), radians.cos()], dim=1).view(-1, 2, 2)
    matrix = turn * scale[:, None, None]
    offset = -matrix @ (centres / SIDE * 2 - 1)[..., None]
    return torch.cat([matrix, offset], dim=2)


@functools.cache
def premultiplied(name: str) -> Float[Tensor, " 4 tile tile"]:
    """Colours in [-1, 1] times alpha, and alpha, lightly blurred."""
    rgba = torch.from_numpy(np.array(tile(name, picture_set="noto"))).permute(2, 0, 1).float() / 255
    rgba = torch.cat([(rgba[:3] * 2 - 1) * rgba[3:], rgba[3:]])
    kernel = torch.tensor([0.15, 0.7, 0.15])
    weight = torch.outer(kernel, kernel).expand(4, 1, 3, 3)
    blurred: Tensor = torch.nn.functional.conv2d(rgba[None], weight, padding=1, groups=4)[0]
    assert blurred.shape[-1] == TILE
    return blurred
