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
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from loralab.data.emoji.atlas import TILE, all_names, tile
from loralab.data.emoji.render import COLOURS
from loralab.data.moving.motion import Motion, motion_of
from loralab.data.moving.scene import SIDE, Scene


class Clips(NamedTuple):
    """Pixels in [-1, 1] and how much of each is emoji, in [0, 1]."""

    pixels: Float[Tensor, " b 3 frames side side"]
    cover: Float[Tensor, " b 1 frames side side"]


class Plan(NamedTuple):
    """All that is needed to draw scenes: rows of the atlas, from pixels to places in the tile, backgrounds."""

    tiles: Int[Tensor, " b"]
    transforms: Float[Tensor, " b f 2 3"]
    backdrops: Float[Tensor, " b 3"]


def draw_clips(scenes: Sequence[Scene], *, device: torch.device | str = "cpu", side: int = SIDE) -> Clips:
    """The clips of scenes, in `side` pixels where the scene has 192."""
    return draw_plan(plan_of(scenes, device=device), side=side)


def plan_of(scenes: Sequence[Scene], *, device: torch.device | str = "cpu") -> Plan:
    """What the host has to do for scenes; the rest is done by `draw_plan` where the plan is."""
    motions = [motion_of(scene) for scene in scenes]
    rows = {name: row for row, name in enumerate(all_names())}
    return Plan(
        torch.tensor([rows[scene.name] for scene in scenes], device=device),
        transforms(motions).unflatten(0, (len(scenes), -1)).to(device),
        torch.tensor([COLOURS[scene.background] for scene in scenes], device=device) / 127.5 - 1,
    )


def draw_plan(plan: Plan, *, side: int = SIDE) -> Clips:
    """The clips of a plan."""
    count, num_frames = plan.transforms.shape[:2]
    grid = affine_grid(
        plan.transforms.flatten(0, 1), [count * num_frames, 4, side, side], align_corners=False
    )
    tiles = _atlas(plan.tiles.device)[plan.tiles]
    shown = grid_sample(tiles.repeat_interleave(num_frames, 0), grid, align_corners=False)
    shown = shown.unflatten(0, (count, num_frames)).transpose(1, 2)
    colour, cover = shown.split([3, 1], dim=1)
    return Clips(colour + (1 - cover) * plan.backdrops[:, :, None, None, None], cover)


def within(plan: Plan, *, centres: Float[Tensor, " b 2"], side: int) -> Plan:
    """The plan of windows of `side` pixels about centres in pixels, which is drawn in as many."""
    matrix, offset = plan.transforms.split([2, 1], dim=3)
    place = (centres / SIDE * 2 - 1)[:, None, :, None]
    return plan._replace(transforms=torch.cat([matrix * (side / SIDE), offset + matrix @ place], dim=3))


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
    return _blurred((name,))[0]


@functools.cache
def _atlas(device: torch.device) -> Float[Tensor, " n 4 tile tile"]:
    return _blurred(all_names()).to(device)


def _blurred(names: Sequence[str]) -> Float[Tensor, " n 4 tile tile"]:
    tiles = np.stack([np.array(tile(name, picture_set="noto")) for name in names])
    rgba = torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255
    rgba = torch.cat([(rgba[:, :3] * 2 - 1) * rgba[:, 3:], rgba[:, 3:]], dim=1)
    kernel = torch.tensor([0.15, 0.7, 0.15])
    weight = torch.outer(kernel, kernel).expand(4, 1, 3, 3)
    blurred: Tensor = torch.nn.functional.conv2d(rgba, weight, padding=1, groups=4)
    assert blurred.shape[-1] == TILE
    return blurred
