"""A clip as one picture: some of its frames over time, and below them its sound as a spectrogram."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

NUM_FRAMES, FRAME_WIDTH, GAP = 4, 192, 4
SOUND_HEIGHT = 48
NUM_FFT = 1024
FLOOR_DB, TOP_HERTZ = -80.0, 8000.0
PAPER = (236, 236, 233)
SHADES = np.array([(12, 12, 40), (90, 30, 120), (220, 90, 60), (255, 230, 160)], dtype=np.float64)
"""From silence to the loudest."""


def strip(
    frames: UInt8[Tensor, " frames height width 3"],
    *,
    sound: Float[Tensor, " 2 samples"] | None,
    sample_rate: int,
    has_room: bool = False,
) -> Image.Image:
    """Gives the strip of a clip: four frames evenly over time, first and last among them.

    Args:
        frames: of the clip; fewer than four are shown all.
        sound: of the clip, None where it is silent.
        sample_rate: of the sound, in Hz.
        has_room: leaves the place of the sound empty where there is none, beside strips that have it.
    """
    shown = np.unique(np.linspace(0, len(frames) - 1, NUM_FRAMES).round().astype(int))
    pictures = [_scaled(Image.fromarray(frames[index].numpy())) for index in shown.tolist()]
    width = sum(picture.width + GAP for picture in pictures) - GAP
    height = pictures[0].height
    has_sound = sound is not None or has_room
    canvas = Image.new("RGB", (width, height + (GAP + SOUND_HEIGHT) * has_sound), PAPER)
    for number, picture in enumerate(pictures):
        canvas.paste(picture, (number * (picture.width + GAP), 0))
    if sound is not None:
        canvas.paste(spectrogram(sound, sample_rate=sample_rate, width=width), (0, height + GAP))
    return canvas


def spectrogram(sound: Float[Tensor, " 2 samples"], *, sample_rate: int, width: int) -> Image.Image:
    """Gives magnitudes over time (to the right) and frequency (upwards, linear to 8 kHz), in dB below the loudest.

    0 dB is the loudest of the clip, but at least -40 dB of full scale, so that hiss does not look like sound.
    """
    padded = torch.nn.functional.pad(sound.float(), (0, max(NUM_FFT - sound.shape[1], 0)))
    window = torch.hann_window(NUM_FFT)
    spectrum = torch.stft(padded, NUM_FFT, hop_length=NUM_FFT // 4, window=window, return_complex=True)
    magnitude = spectrum.abs().mean(dim=0)
    num_bins = min(round(TOP_HERTZ / (sample_rate / NUM_FFT)), len(magnitude))
    magnitude = magnitude[:num_bins] / (window.sum() / 2)
    decibels = 20 * (magnitude / magnitude.max().clamp(min=1e-2)).clamp(min=1e-6).log10()
    level = (1 - decibels / FLOOR_DB).clamp(0, 1).flip(0).numpy()
    places = np.linspace(0, 1, len(SHADES))
    shaded = np.stack([np.interp(level, places, SHADES[:, channel]) for channel in range(3)], axis=-1)
    picture = Image.fromarray(shaded.round().astype(np.uint8))
    return picture.resize((width, SOUND_HEIGHT), Image.Resampling.BILINEAR)


def padded(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """Gives all pictures one size, that of the largest, so that a sheet reduces them alike."""
    size = (max(picture.width for picture in pictures), max(picture.height for picture in pictures))
    found = []
    for picture in pictures:
        canvas = Image.new("RGB", size, PAPER)
        canvas.paste(picture)
        found.append(canvas)
    return found


def _scaled(picture: Image.Image) -> Image.Image:
    """Enlarges a small frame by a whole factor with its pixels kept; reduces a large one."""
    if picture.width < FRAME_WIDTH:
        factor = -(-FRAME_WIDTH // picture.width)
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    height = max(round(picture.height * FRAME_WIDTH / picture.width), 1)
    return picture.resize((FRAME_WIDTH, height), Image.Resampling.LANCZOS)
