"""The commands of `python -m loralab.nano` that make and measure the nano LTX-Video, in the order of their use."""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "ltx23"


def add_commands(commands: Any) -> None:
    """Adds the parsers."""
    for name, minutes, batch_size, peak_lr, num_clips, purpose in (
        ("train_ltx_vae", 4.0, 32, 1.5e-3, 16384, "the video VAE, on clips drawn for every step"),
        ("train_ltx_audio", 1.0, 32, 2e-3, 8192, "the VAE of spectrograms"),
        ("train_ltx_vocoder", 1.5, 16, 1e-3, 8192, "the vocoder, on spectrograms of that VAE"),
        ("train_ltx", 5.0, 512, 1.5e-3, 16384, "connectors and transformer on both VAEs' latents"),
    ):
        command = commands.add_parser(
            name, help=purpose, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        command.add_argument("--out", type=Path, required=True, help="folder of states and logs")
        command.add_argument(
            "--minutes",
            type=float,
            default=minutes,
            help="the whole budget from the command's start, earlier parts included",
        )
        command.add_argument("--batch-size", type=int, default=batch_size, help="clips in a step")
        command.add_argument("--peak-lr", type=float, default=peak_lr, help="learning rate after warm-up")
        command.add_argument(
            "--num-clips", type=int, default=num_clips, help="clips that batches are made of"
        )
        command.add_argument("--resume", action="store_true", help="go on from the state in --out")
        command.add_argument("--eager", action="store_true", help="record no CUDA graphs; slower")
        if name in ("train_ltx_vae", "train_ltx_audio"):
            command.add_argument(
                "--num-measured", type=int, default=512, help="clips whose latents are normalised"
            )
        if name == "train_ltx_vae":
            command.add_argument(
                "--contiguous",
                action="store_true",
                help="not channels last, the layout of a GPU's convolutions",
            )
        if name == "train_ltx":
            command.add_argument(
                "--compiled", action="store_true", help="compile the blocks too; takes minutes"
            )
    export = commands.add_parser(
        "export_ltx", help="write the nano LTX-Video's folder from the states in --out"
    )
    export.add_argument("--out", type=Path, required=True, help="folder of states and logs")
    score = commands.add_parser(
        "score_ltx", help="motion, names, colours and pitch of clips, against true ones"
    )
    score.add_argument("--limit", type=int, default=200, help="clips of each question")
    score.add_argument("--json", type=Path, help="a file for the figures")
    plot = commands.add_parser("plot_ltx", help="a sheet of true and drawn clips, and the curves")
    plot.add_argument("--out", type=Path, help="folder of logs, for the curves")
    plot.add_argument("--docs", type=Path, default=Path("docs/img"), help="where to")
    for command in (export, score, plot):
        command.add_argument("--folder", type=Path, default=FOLDER, help="the pipeline's folder")


def _training(module: str, function: str) -> Callable[..., None]:
    """The command that trains; its minutes begin before anything heavy is imported."""

    def run(**settings: Any) -> None:
        began = time.monotonic()
        getattr(importlib.import_module(f"loralab.nano.ltx.{module}"), function)(**settings, began=began)

    return run


def _export(out: Path, folder: Path) -> None:
    from loralab.nano.ltx.export import export_ltx

    print(f"{export_ltx(out, folder=folder) / 1e6:.1f} MB in {folder}")


def _score(folder: Path, json: Path | None, limit: int) -> None:
    from loralab.nano.ltx.score import score_ltx

    score_ltx(folder, limit=limit, json_path=json)


def _plot(folder: Path, out: Path | None, docs: Path) -> None:
    from loralab.nano.ltx.plots import plot_ltx

    for path in plot_ltx(folder, out=out, docs=docs):
        print(path)


RUN: dict[str, Callable[..., None]] = {
    "train_ltx_vae": _training("video_vae", "train_video_vae"),
    "train_ltx_audio": _training("sound", "train_audio_vae"),
    "train_ltx_vocoder": _training("sound", "train_vocoder"),
    "train_ltx": _training("train", "train_ltx"),
    "export_ltx": _export,
    "score_ltx": _score,
    "plot_ltx": _plot,
}
"""What each command does."""
