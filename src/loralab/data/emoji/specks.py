"""Backgrounds strewn with confetti: detail that no caption tells, a pure function of a colour and a seed."""

from __future__ import annotations

import numpy as np

from loralab.data.emoji.atlas import TILE

FEWEST, MOST = 10, 20
RADII = (1.4, 2.8)
CONTRASTS = (0.35, 1.0)
INKS = np.array(
    [(226, 62, 58), (247, 150, 50), (250, 220, 80), (90, 178, 84), (70, 130, 224), (146, 92, 196), (40, 40, 52),
     (255, 255, 255)], np.float32,
)  # fmt: skip
SOFT = 0.6  # pixels over which a speck's edge falls


def strewn(colour: tuple[int, int, int], *, seed: int) -> np.ndarray:
    """A background of `colour` with 10 to 20 round specks of varied size, ink and contrast, uint8 `[64, 64, 3]`."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(FEWEST, MOST + 1))
    centres = rng.uniform(0, TILE, (count, 2))
    radii, contrasts = rng.uniform(*RADII, count), rng.uniform(*CONTRASTS, count)
    inks = INKS[rng.integers(len(INKS), size=count)]
    canvas = np.empty((TILE, TILE, 3), np.float32)
    canvas[:] = colour
    for (y, x), radius, contrast, ink in zip(centres, radii, contrasts, inks, strict=True):
        rows, columns = _window(y, radius), _window(x, radius)
        patch = canvas[rows, columns]
        away = np.hypot(
            np.arange(rows.start, rows.stop)[:, None] + 0.5 - y,
            np.arange(columns.start, columns.stop) + 0.5 - x,
        )
        patch += (contrast * np.clip((radius - away) / SOFT + 0.5, 0, 1))[..., None] * (ink - patch)
    return canvas.round().astype(np.uint8)


def _window(centre: float, radius: float) -> slice:
    return slice(max(0, int(centre - radius - 1)), min(TILE, int(centre + radius + 2)))
