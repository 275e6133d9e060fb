"""What made and what measures the nano twins, one command each; run a twin's in this order to make it again."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from loralab.errors import UserError
from loralab.nano.distill_recipe import Recipe
from loralab.nano.ltx import commands as ltx

FOLDER = Path(__file__).parent / "klein"
ZIMAGE = Path(__file__).parent / "zimage_base"
TURBO = Path(__file__).parent / "zimage_turbo"


def main() -> None:
    """Runs one command; a user's mistake is one message, not a stack trace."""
    arguments = vars(_parser().parse_args())
    command = arguments.pop("command")
    try:
        (ltx.RUN.get(command) or globals()[f"_{command}"])(**arguments)
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
        ("tune_zimage_vae", 30, 16, 1e-3, "Klein's encoder and decoder, for confetti"),
        ("train_zimage", 90, 32, 1.2e-3, "transformer on the tuned VAE's latents"),
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
        if name in ("train_klein", "train_zimage"):
            command.add_argument("--compiled", action="store_true", help="compile; needs a C++ compiler")
        if name in ("tune_zimage_vae", "train_zimage"):
            command.add_argument(
                "--num-pictures",
                type=int,
                default=16384,
                help="pictures that are drawn before the first step",
            )
    _add_distill(commands)
    ltx.add_commands(commands)
    export = commands.add_parser("export", help="write the diffusers folder from the states in --out")
    export.add_argument("--out", type=Path, required=True, help="folder of states and logs")
    export.add_argument("--folder", type=Path, default=FOLDER, help="where to")
    export_zimage = commands.add_parser("export_zimage", help="the same for the nano Z-Image Base")
    export_zimage.add_argument("--out", type=Path, required=True, help="folder of states and logs")
    export_zimage.add_argument("--folder", type=Path, default=ZIMAGE, help="where to")
    score_zimage = commands.add_parser("score_zimage", help="retrieval, attributes and sharpness by steps")
    score_zimage.add_argument("--limit", type=int, default=200, help="captions of each question")
    score_zimage.add_argument(
        "--variant", choices=("base", "distilled"), default="base", help="how it is sampled"
    )
    score_zimage.add_argument("--json", type=Path, help="a file for the figures")
    plot_zimage = commands.add_parser(
        "plot_zimage", help="a grid of truth, 50 steps and 8 steps, and the curves"
    )
    plot_zimage.add_argument("--out", type=Path, help="folder of logs, for the curves")
    plot_zimage.add_argument("--docs", type=Path, default=Path("docs/img"), help="where to")
    for command in (score_zimage, plot_zimage):
        command.add_argument("--folder", type=Path, default=ZIMAGE, help="the pipeline's folder")
    score = commands.add_parser("score", help="retrieval and attribute accuracy of a diffusers folder")
    plot = commands.add_parser("plot", help="curves and a sample grid for the docs")
    plot.add_argument("--out", type=Path, required=True, help="folder of logs")
    plot.add_argument("--docs", type=Path, default=Path("docs/img"), help="where to")
    for command in (score, plot):
        command.add_argument("--folder", type=Path, default=FOLDER, help="the pipeline's folder")
    return parser


def _add_distill(commands: Any) -> None:
    """The distillation of the nano Z-Image Base into Turbo has settings of its own."""
    distill = commands.add_parser(
        "distill",
        help="nano Z-Image Turbo from the exported nano Z-Image Base",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    distill.add_argument("--base", type=Path, default=ZIMAGE, help="the base's diffusers folder")
    distill.add_argument("--out", type=Path, required=True, help="folder of states and logs")
    distill.add_argument("--folder", type=Path, default=TURBO, help="Turbo's diffusers folder")
    for name, default, purpose in (
        ("--minutes", 3.0, "of updates, earlier parts included; loading and compiling come on top"),
        ("--warm-minutes", 1.0, "before them, of the student on pairs of the base"),
        ("--alpha", Recipe.alpha, "guidance to distil; 1 is none"),
        ("--warm-lr", Recipe.warm_lr, "peak learning rate on pairs"),
        ("--student-lr", Recipe.student_lr, "peak learning rate of the student"),
        ("--fake-lr", Recipe.fake_lr, "learning rate of the fake"),
        ("--coupled", Recipe.coupled, "weight of the loss on pairs beside the push"),
        ("--guidance-scale", 0.5, "of the base's 50 steps to compare with, in Z-Image's convention"),
        ("--watch-every-s", 15.0, "seconds between two looks at the pictures"),
    ):
        distill.add_argument(name, type=float, default=default, help=purpose)
    for name, count, purpose in (
        ("--batch-size", 256, "pictures in every call"),
        ("--fake-updates", Recipe.fake_updates, "of the fake for one of the student"),
        ("--num-captions", 16384, "captions to draw the updates' from"),
        ("--num-pairs", 8192, "of noise and what the base draws from it"),
        ("--num-pictures", 1024, "pictures to measure by; twice as many for --validity"),
    ):
        distill.add_argument(name, type=int, default=count, help=purpose)
    distill.add_argument("--compiled", action="store_true", help="compile; needs a C++ compiler")
    distill.add_argument("--resume", action="store_true", help="go on from the state in --out")
    distill.add_argument("--validity", action="store_true", help="compare with the base on pictures held out")


def _distill(**settings: Any) -> None:
    from loralab.nano.distill_command import run

    chosen = {each.name for each in dataclasses.fields(Recipe)} & settings.keys()
    recipe = Recipe(**{name: settings.pop(name) for name in chosen})
    run(**settings, recipe=recipe)


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


def _tune_zimage_vae(**settings: Any) -> None:
    from loralab.nano.zimage_vae import tune_zimage_vae

    tune_zimage_vae(**settings)


def _train_zimage(**settings: Any) -> None:
    from loralab.nano.train_zimage import train_zimage

    train_zimage(**settings)


def _export_zimage(out: Path, folder: Path) -> None:
    from loralab.nano.train_zimage import export_zimage

    print(f"{export_zimage(out, folder=folder) / 2**20:.1f} MiB in {folder}")


def _score_zimage(folder: Path, json: Path | None, variant: str, limit: int) -> None:
    from loralab.nano.score_zimage import score_zimage

    score_zimage(folder, json_path=json, variant=variant, limit=limit)


def _plot_zimage(folder: Path, out: Path | None, docs: Path) -> None:
    from loralab.nano.plots_zimage import plot_zimage

    for path in plot_zimage(folder, out=out, docs=docs):
        print(path)


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
