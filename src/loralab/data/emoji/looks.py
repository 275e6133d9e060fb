"""Looks computed from a picture, so that the true answer of a style LoRA is known to the pixel."""

from __future__ import annotations

import numpy as np

PAPER = np.array([246, 238, 216], np.float32)
ACCENT = np.array([206, 74, 48], np.float32)
INK = np.array([28, 30, 52], np.float32)


def linocut(picture: np.ndarray) -> np.ndarray:
    """The picture as a two-block print, uint8 `[h, w, 3]`: ink where dark or at an edge, accent in middle tones."""
    rgb = picture.astype(np.float32) / 255
    luma = _blur(rgb @ np.array([0.30, 0.59, 0.11], np.float32))
    edge = np.sqrt(sum(np.square(_gradient(_blur(rgb[..., c]))).sum(0) for c in range(3)))
    ink = np.maximum(_ramp(0.40 - luma, 0.06), _ramp(edge - 0.24, 0.08))
    accent = _ramp(0.74 - luma, 0.06)
    tone = PAPER + accent[..., None] * (ACCENT - PAPER)
    return np.clip(tone + ink[..., None] * (INK - tone), 0, 255).round().astype(np.uint8)


def _ramp(value: np.ndarray, width: float) -> np.ndarray:
    """0 below -width, 1 above width, straight between: a step that is not jagged."""
    return np.clip(value / (2 * width) + 0.5, 0, 1)


def _blur(plane: np.ndarray) -> np.ndarray:
    padded = np.pad(plane, 1, mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4


def _gradient(plane: np.ndarray) -> np.ndarray:
    padded = np.pad(plane, 1, mode="edge")
    return np.stack([padded[2:, 1:-1] - padded[:-2, 1:-1], padded[1:-1, 2:] - padded[1:-1, :-2]])
