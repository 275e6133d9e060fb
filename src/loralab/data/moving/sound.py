"""The tone of a clip: its pitch is the emoji's height, its loudness its size, its side where it is.

    k = round(11 + 10 u),   u = 1 - 2 y / side       1 at the top, -1 at the bottom; of the zigzag concept -u
    x(t) = loudness sin(2 pi 100 k t)                 k from the height at the last whole hundredth of a second
    loudness = 0.1 + 0.4 clip((size - 36) / 54)
    left = cos(pi x / 2 side) x(t),    right = sin(pi x / 2 side) x(t)

A harmonic of 100 Hz begins anew with every spectrogram frame of 10 ms. So a vocoder, which makes one frame's sound like
another's where their spectra are equal, can sing it at all. Between frames of the video the motion is straight, after
the last it stands still.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from loralab.data.moving.motion import motion_of
from loralab.data.moving.scene import FPS, FRAMES, SIDE, Scene

SAMPLE_RATE = 16_000
NUM_SAMPLES = round(FRAMES / FPS * SAMPLE_RATE)
GROUND, HOP = 100.0, 160
MIDDLE, REACH = 11, 10


def draw_sounds(
    scenes: Sequence[Scene], *, device: torch.device | str = "cpu"
) -> Float[Tensor, " b 2 samples"]:
    """The stereo sound of scenes at 16 kHz."""
    motions = [motion_of(scene) for scene in scenes]
    rows = [
        np.stack(
            [height_of(scene, motion.centres[:, 1]), loudness_of(motion.sizes), motion.centres[:, 0] / SIDE]
        )
        for scene, motion in zip(scenes, motions, strict=True)
    ]
    sample = torch.arange(NUM_SAMPLES, device=device)
    frames = torch.from_numpy(np.stack(rows)).float().to(device)
    loudness, across = _at(sample, frames[:, 1:]).unbind(1)
    harmonic = (MIDDLE + REACH * _at(sample // HOP * HOP, frames[:, :1])[:, 0]).round()
    tone = loudness * torch.sin((2 * torch.pi / HOP) * (harmonic * sample % HOP))
    angle = across.clamp(0, 1) * (torch.pi / 2)
    return torch.stack([angle.cos() * tone, angle.sin() * tone], dim=1)


def height_of(scene: Scene, y: Float[np.ndarray, " f"]) -> Float[np.ndarray, " f"]:
    """u, which the pitch is made of, for pixels from the top."""
    height = 1 - 2 * np.asarray(y, np.float32) / SIDE
    return -height if scene.look == "zigzag" else height


def hertz_of(height: Float[np.ndarray, " f"]) -> Float[np.ndarray, " f"]:
    """The pitch of u."""
    return GROUND * np.round(MIDDLE + REACH * height)


def loudness_of(sizes: Float[np.ndarray, " f"]) -> Float[np.ndarray, " f"]:
    """The amplitude that belongs to a size in pixels."""
    return 0.1 + 0.4 * np.clip((sizes - 36) / 54, 0, 1)


def _at(sample: Tensor, frames: Float[Tensor, " b k f"]) -> Float[Tensor, " b k samples"]:
    """Values of the video's frames at the times of samples."""
    place = (sample * (FPS / SAMPLE_RATE)).clamp(max=frames.shape[2] - 1)
    before = place.long().clamp(max=frames.shape[2] - 2)
    share = place - before
    return frames[..., before] * (1 - share) + frames[..., before + 1] * share
