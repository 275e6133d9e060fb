"""The control video of a scene at half its size: the edges of its frames, or the curve that it follows."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import UInt8

from loralab.data.control import SplineTrack, TrackStyle, canny, draw_tracks, sample_tracks
from loralab.data.moving.concepts import Control
from loralab.data.moving.frames import draw_clips
from loralab.data.moving.scene import FRAMES, SIDE, Scene

DOWNSCALE = 2
HALF = SIDE // DOWNSCALE
STYLE = TrackStyle(canvas=HALF, trail=6, oldest_radius=2.0, newest_radius=10.0)
"""A dot as large as an emoji with a short tail: the twin's VAE keeps nothing of the vendor's, 2 pixels at this size."""
LOW, HIGH = 24.0, 60.0
"""Thresholds of edges: at the vendor's 100 and 200 a lemon on yellow has none."""


def control_frames(scene: Scene, control: Control) -> UInt8[np.ndarray, " f y x 3"]:
    """The control of one scene, RGB at half the clip's size."""
    if control == "canny":
        return edges_of(frames_of(scene))
    nodes = np.array(scene.nodes)
    tracks = sample_tracks([SplineTrack(nodes)], num_frames=FRAMES)
    return draw_tracks(tracks, height=HALF, width=HALF, style=STYLE)


def looks_of(control: Control | None) -> str:
    """What the files of a control depend on besides the scene."""
    return f"tracks {STYLE!r}" if control == "tracks" else str(control)


def edges_of(frames: UInt8[np.ndarray, " f h w 3"]) -> UInt8[np.ndarray, " f y x 3"]:
    """Edges of frames that are halved first, so that none is lost."""
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    halved = torch.nn.functional.avg_pool2d(pixels, DOWNSCALE).round().byte()
    return canny(np.ascontiguousarray(halved.permute(0, 2, 3, 1).numpy()), low=LOW, high=HIGH)


def frames_of(scene: Scene) -> UInt8[np.ndarray, " f h w 3"]:
    """The exact frames of one scene in 8 bits."""
    pixels = draw_clips([scene]).pixels[0].permute(1, 2, 3, 0)
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().numpy()
