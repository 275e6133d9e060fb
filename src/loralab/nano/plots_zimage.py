"""The pictures of docs/nano_zimage.md: truth beside 50 and 8 steps, many answers to one caption, curves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from loralab.files import atomic_path
from loralab.nano.curves import draw_curves
from loralab.nano.plots import COLUMNS, grid
from loralab.nano.score_zimage import exact, held_out, of_caption
from loralab.nano.zimage_draw import Twin, draw, load_twin
from loralab.nano.zimage_parts import GUIDANCE_SCALE

ALIKE = ("fox face", "sunflower")
LOGS = (("zimage_vae", "mse", "VAE: squared error"), ("zimage", "loss", "velocity: squared error"))


def plot_zimage(folder: Path, *, docs: Path, out: Path | None = None) -> Iterator[Path]:
    """Writes the grid of a folder and, where logs are in `out`, the curves; yields the paths."""
    docs.mkdir(parents=True, exist_ok=True)
    path = docs / "nano_zimage_samples.png"
    with atomic_path(path) as temporary:
        grid(rows_of(load_twin(folder))).save(temporary, format="PNG", optimize=True)
    yield path
    if out:
        yield plot_curves(out, path=docs / "nano_zimage_curves.png")


def rows_of(twin: Twin) -> list[Tensor]:
    """Three rows (exact, 50 steps, 8 steps) for captions of unseen pictures, then for one caption over and over."""
    rows = []
    for shown in (held_out(COLUMNS), *(of_caption(name, count=COLUMNS) for name in ALIKE)):
        captions = [picture.caption for picture in shown]
        rows.append(exact(shown))
        rows += [draw(twin, captions, num_steps=steps, guidance_scale=GUIDANCE_SCALE) for steps in (50, 8)]
    return rows


def plot_curves(out: Path, *, path: Path) -> Path:
    """Writes the errors over time of both trainings; returns the path."""
    return draw_curves(out, LOGS, path=path)
