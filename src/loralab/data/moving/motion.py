"""Where a scene's emoji is, how large and how far it is turned, in every frame.

s = k / (frames - 1)                       0 in the first frame, 1 in the last
centre(s) = 96 + 48 place + nudge + reach step s               reach 34 pixels slowly, 88 fast
zigzag:   centre(s) + 30 tri(2 s) normal                       two periods of a triangle wave beside the way
curve:    Catmull-Rom through the nodes (loralab.data.control.splines)
size(s)   = 60 r^(s - 1/2)                 growing: r = 1.4 slowly, 2.2 fast; shrinking: 1 / r
angle(s)  = a s                            turning: a = 70 degrees slowly, 210 fast; left is anticlockwise
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from loralab.data.control.splines import sample_spline
from loralab.data.moving.scene import FRAMES, SIDE, Scene

SPACING, REACH = 48.0, {"slowly": 34.0, "fast": 88.0}
GROWTH, TURN = {"slowly": 1.4, "fast": 2.2}, {"slowly": 70.0, "fast": 210.0}
SWING, PERIODS = 30.0, 2


@dataclasses.dataclass(frozen=True)
class Motion:
    """Centres in pixels to the right and downwards, sides in pixels and degrees anticlockwise, in each frame."""

    centres: Float[np.ndarray, " f 2"]
    sizes: Float[np.ndarray, " f"]
    angles: Float[np.ndarray, " f"]


def motion_of(scene: Scene, *, num_frames: int = FRAMES) -> Motion:
    """The exact motion of a scene."""
    share = np.linspace(0, 1, num_frames)
    sizes, angles = np.full(num_frames, scene.size), np.zeros(num_frames)
    if scene.action in ("growing", "shrinking"):
        ratio = GROWTH[scene.pace] if scene.action == "growing" else 1 / GROWTH[scene.pace]
        sizes = scene.size * ratio ** (share - 0.5)
    if scene.action.startswith("turning"):
        angles = TURN[scene.pace] * share * (1 if scene.action.endswith("left") else -1)
    return Motion(
        _centres(scene, share).astype(np.float32), sizes.astype(np.float32), angles.astype(np.float32)
    )


def triangle(phase: Float[np.ndarray, " f"]) -> Float[np.ndarray, " f"]:
    """A wave of period 1 between -1 and 1, 0 and rising at 0."""
    return 1 - 4 * np.abs((phase + 0.25) % 1 - 0.5)


def _centres(scene: Scene, share: Float[np.ndarray, " f"]) -> Float[np.ndarray, " f 2"]:
    if scene.look == "curve":
        return sample_spline(np.array(scene.nodes), num_frames=len(share)) * SIDE
    step = np.array(scene.step, float)
    start = SIDE / 2 + SPACING * np.array(scene.place, float) + np.array(scene.nudge)
    centres = start + REACH[scene.pace] * step * share[:, None]
    if scene.look == "zigzag":
        normal = np.array([-step[1], step[0]]) / max(np.linalg.norm(step), 1)
        centres = centres + SWING * triangle(PERIODS * share)[:, None] * normal
    return centres
