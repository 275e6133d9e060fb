"""The pictures of docs/nano_klein.md: curves of the trainings and a grid of truths beside samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from loralab.data.emoji.atlas import names
from loralab.data.emoji.spec import EmojiSpec, is_seen, variations
from loralab.files import atomic_path
from loralab.nano.curves import draw_curves
from loralab.nano.score import digest, draw, load_pipeline, truth

COLUMNS, ENLARGED, GAP = 16, 2, 4
LOGS = (
    ("vae", "mse", "VAE: squared error"),
    ("decoder", "mse", "decoder: squared error"),
    ("klein", "loss", "velocity: squared error"),
)


def plot_curves(out: Path, *, path: Path) -> Path:
    """Writes the errors over time of every training whose log is in `out`; returns the path."""
    present = [panel for panel in LOGS if (out / f"{panel[0]}_log.jsonl").exists()]
    return draw_curves(out, present, path=path)


def plot_samples(folder: Path, *, path: Path) -> Path:
    """Writes truths above samples: plain captions, then captions with pairs that training never showed."""
    pipeline = load_pipeline(folder)
    chosen = sorted(names(), key=digest)
    plain = [EmojiSpec(name=name) for name in chosen[: 2 * COLUMNS]]
    unseen = [_unseen(name) for name in chosen[2 * COLUMNS : 4 * COLUMNS]]
    rows = []
    for specs in (plain[:COLUMNS], plain[COLUMNS:], unseen[:COLUMNS], unseen[COLUMNS:]):
        rows += [truth(specs), draw(pipeline, [spec.caption for spec in specs])]
    with atomic_path(path) as temporary:
        grid(rows).save(temporary, format="PNG", optimize=True)
    return path


def grid(rows: list[torch.Tensor]) -> Image.Image:
    """Rows of pictures in [0, 1] as one picture, enlarged without smoothing."""
    padded = [torch.nn.functional.pad(row, [GAP // 2] * 4, value=1.0) for row in rows]
    pixels = torch.cat([torch.cat(list(row), dim=2) for row in padded], dim=1)
    small = Image.fromarray(np.uint8(pixels.clamp(0, 1).permute(1, 2, 0).numpy() * 255 + 0.5))
    return small.resize((small.width * ENLARGED, small.height * ENLARGED), Image.Resampling.NEAREST)


def _unseen(name: str) -> EmojiSpec:
    """One picture with one or two attributes, at least one of them held out with this name."""
    options = [spec for spec in variations(name) if 1 <= len(spec.changed) <= 2 and not is_seen(spec)]
    return min(options, key=lambda spec: digest(spec.caption))
