"""The pictures of docs/nano_ltx.md: true clips above drawn ones, with their pitch, and the curves of the trainings."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from loralab.data.moving.scene import FRAMES
from loralab.errors import UserError
from loralab.files import atomic_path
from loralab.nano.curves import draw_curves
from loralab.nano.ltx.draw import Drawn, draw, load_twin
from loralab.nano.ltx.measure import listen
from loralab.nano.ltx.score import asked, kept, truth

SHOWN = (0, 4, 8, 12, 16)
NUM_CLIPS = 8
LOGS = (
    ("ltx_video_vae", "mse", "video VAE: squared error"),
    ("ltx_audio_vae", "mse", "audio VAE: squared error"),
    ("ltx_vocoder", "loss", "vocoder: loss"),
    ("ltx", "video", "velocity of video"),
    ("ltx", "audio", "velocity of sound"),
)


def plot_ltx(folder: Path, *, docs: Path, out: Path | None = None) -> Iterator[Path]:
    """Writes the sheet of a folder and its pitches, and the curves where logs are in `out`; yields the paths."""
    docs.mkdir(parents=True, exist_ok=True)
    twin, scenes = load_twin(folder), asked(NUM_CLIPS, seen=False)
    rows = [truth(scenes), kept(twin, scenes), draw(twin, [scene.caption for scene in scenes])]
    path = docs / "nano_ltx_samples.png"
    with atomic_path(path) as temporary:
        Image.fromarray(sheet(rows)).save(temporary, format="PNG", optimize=True)
    yield path
    yield plot_pitches(rows, [scene.caption for scene in scenes], path=docs / "nano_ltx_pitches.png")
    if out:
        yield plot_curves(out, path=docs / "nano_ltx_curves.png")


def sheet(rows: list[Drawn]) -> UInt8[np.ndarray, " h w 3"]:
    """For each clip a line of frames of every row, half size, two clips side by side."""
    lines = []
    for index in range(len(rows[0].pixels)):
        strips = [torch.cat([row.pixels[index, frame, ::2, ::2] for frame in SHOWN], dim=1) for row in rows]
        lines.append(torch.cat(strips))
    left, right = lines[::2], lines[1::2]
    return torch.cat([torch.cat(pair, dim=1) for pair in zip(left, right, strict=True)]).numpy()


def plot_pitches(rows: list[Drawn], captions: list[str], *, path: Path) -> Path:
    """Writes the pitch of each clip over its frames: true, kept by the VAE, drawn."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(captions) // 2, figsize=(12, 5), layout="constrained", sharey=True)
    for index, axis in enumerate(axes.flat):
        for row, style, label in zip(rows, ("k-", "b:", "r-"), ("true", "kept", "drawn"), strict=True):
            axis.plot(listen(row.sound[index], num_frames=FRAMES), style, linewidth=1, label=label)
        axis.set_title("\n".join(textwrap.wrap(captions[index], width=40)), fontsize=7)
    axes.flat[0].legend(fontsize=7)
    figure.supxlabel("frame")
    figure.supylabel("Hz")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=90)
    pyplot.close(figure)
    return path


def plot_curves(out: Path, *, path: Path) -> Path:
    """Writes the errors over time of all trainings; returns the path.

    Raises:
        UserError: if a training has no log in `out`.
    """
    if missing := [f"{log}_log.jsonl" for log, *_ in LOGS if not (out / f"{log}_log.jsonl").is_file()]:
        raise UserError(
            f"--out {out} has no {', '.join(missing)}: name the folder of the trainings, or leave --out away."
        )

    return draw_curves(out, LOGS, path=path, inches=(3, 2.6))
