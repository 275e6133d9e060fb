"""The pictures of docs/nano_klein.md: curves of the trainings and a grid of truths beside samples."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from loralab.data.emoji.atlas import names
from loralab.data.emoji.spec import EmojiSpec, is_seen, variations
from loralab.files import atomic_path
from loralab.nano.score import digest, draw, load_pipeline, truth

COLUMNS, ENLARGED, GAP = 16, 2, 4


def plot_curves(out: Path, *, path: Path) -> Path:
    """Writes the errors over time of every training whose log is in `out`; returns the path."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    logs = [
        ("vae", "mse", "VAE: squared error"),
        ("decoder", "mse", "decoder: squared error"),
        ("klein", "loss", "velocity: squared error"),
    ]
    present = [
        (out / f"{name}_log.jsonl", key, title)
        for name, key, title in logs
        if (out / f"{name}_log.jsonl").exists()
    ]
    figure, axes = pyplot.subplots(
        1, len(present), figsize=(4 * len(present), 3), squeeze=False, layout="constrained"
    )
    for axis, (log, key, title) in zip(axes[0], present, strict=True):
        rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        axis.plot([row["s"] / 60 for row in rows], [row[key] for row in rows], linewidth=1)
        axis.set(title=title, xlabel="minutes", yscale="log")
        axis.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    pyplot.close(figure)
    return path


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
