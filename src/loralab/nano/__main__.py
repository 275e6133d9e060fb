"""What made and what measures the nano Klein, one command each; run them in this order to make it again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from loralab.errors import UserError

FOLDER = Path(__file__).parent / "klein"


def main() -> None:
    """Runs one command; a user's mistake is one message, not a stack trace."""
    arguments = vars(_parser().parse_args())
    command = arguments.pop("command")
    try:
        globals()[f"_{command}"](**arguments)
    except UserError as error:
        sys.exit(f"{error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loralab.nano", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    pack = commands.add_parser("pack", help="choose the emoji and pack them into the package's data")
    pack.add_argument("google", type=Path, help="emoji-datasource-google-16.0.0.tgz, from npm")
    pack.add_argument("twitter", type=Path, help="emoji-datasource-twitter-16.0.0.tgz, from npm")
    for name, minutes, batch_size, peak_lr, purpose in (
        ("train_vae", 16, 16, 2e-3, "encoder and decoder"),
        ("polish_decoder", 60, 16, 1e-3, "the decoder alone; may run beside train_klein"),
        ("train_klein", 84, 32, 1.2e-3, "text encoder and transformer on the VAE's latents"),
    ):
        command = commands.add_parser(
            name, help=purpose, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        command.add_argument("--out", type=Path, required=True, help="folder of states and logs")
        command.add_argument(
            "--minutes", type=float, default=minutes, help="the whole budget, earlier parts included"
        )
        command.add_argument("--batch-size", type=int, default=batch_size, help="pictures in a step")
        command.add_argument("--peak-lr", type=float, default=peak_lr, help="learning rate after warm-up")
        command.add_argument("--resume", action="store_true", help="go on from the state in --out")
        if name == "train_klein":
            command.add_argument(
                "--compiled", action="store_true", help="compile the blocks; needs a C++ compiler"
            )
    export = commands.add_parser("export", help="write the diffusers folder from the states in --out")
    export.add_argument("--out", type=Path, required=True, help="folder of states and logs")
    export.add_argument("--folder", type=Path, default=FOLDER, help="where to")
    score = commands.add_parser("score", help="retrieval and attribute accuracy of a diffusers folder")
    plot = commands.add_parser("plot", help="curves and a sample grid for the docs")
    plot.add_argument("--out", type=Path, required=True, help="folder of logs")
    plot.add_argument("--docs", type=Path, default=Path("docs/img"), help="where to")
    for command in (score, plot):
        command.add_argument("--folder", type=Path, default=FOLDER, help="the pipeline's folder")
    return parser


def _pack(google: Path, twitter: Path) -> None:
    from loralab.data.emoji import atlas
    from loralab.data.emoji.pack import pack

    print(f"{pack(google, twitter, folder=atlas.FOLDER)} emoji in {atlas.FOLDER}")


def _train_vae(**settings: Any) -> None:
    from loralab.nano.vae import train_vae

    train_vae(**settings)


def _polish_decoder(**settings: Any) -> None:
    from loralab.nano.vae import polish_decoder

    polish_decoder(**settings)


def _train_klein(**settings: Any) -> None:
    from loralab.nano.train_klein import train_klein

    train_klein(**settings)


def _export(out: Path, folder: Path) -> None:
    from loralab.nano.klein import export

    print(f"{export(out, folder=folder) / 2**20:.1f} MiB in {folder}")


def _score(folder: Path) -> None:
    from loralab.nano.score import load_pipeline, score_all

    for score in score_all(load_pipeline(folder)):
        print(score, flush=True)


def _plot(out: Path, docs: Path, folder: Path) -> None:
    from loralab.nano.plots import plot_curves, plot_samples

    print(plot_curves(out, path=docs / "nano_klein_curves.png"))
    print(plot_samples(folder, path=docs / "nano_klein_samples.png"))


if __name__ == "__main__":
    main()
