"""Commands beside training: `python -m loralab <command> key=value ...`."""

from __future__ import annotations

import importlib
import logging
import sys

from loralab.errors import UserError

COMMANDS = {
    "sample": "draw pictures with an adapter file: sample adapter=... prompt='a red fox'",
    "score": "measure an adapter on a concept whose truth is known: score adapter=... dataset=emoji_linocut",
    "plan": "predict memory and time of a run, by train.py's overrides: plan model=flux2_klein9b memory=int8",
    "recipe": "what the documented recipes set, and where each value is from: recipe flux2_klein9b_identity",
    "check": "look a run over before it trains, by train.py's overrides: check dataset.root=photos/ check.strict=true",
    "packed": "train several runs at once on one base: packed runs.txt pack=4",
    "assistant": "train or check what keeps a few-step model trainable: assistant train model=zimage_turbo",
    "clips": "say what becomes of every video of a folder: clips videos/ buckets=768x448x89",
    "tracks": "draw a motion-track control video: tracks render tracks.json out=control.mp4 ...",
    "control": "make a control video of a video: control canny clip.mp4 out=edges.mp4",
    "report": "the HTML page of a run, a study or an ablation, and a report on W&B: report study=<name>",
    "study": "what a sweep found and cost, and the line that repeats its best: study <name>",
    "confirm": "run a study's best and the recipe again with fresh seeds, and compare: confirm <name> seeds=5",
    "paper": "a short paper about ablations that test claims, as LaTeX and PDF: paper claims",
    "dashboard": "a study's trials on a local page: dashboard <name> port=8080",
}


def main() -> None:
    """Runs one command; a user's mistake is one message, not a stack trace."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    name, arguments = (sys.argv[1] if len(sys.argv) > 1 else "--help"), sys.argv[2:]
    if name in ("--help", "-h"):
        print(_usage())
        return
    if name not in COMMANDS:
        sys.exit(f"there is no command {name!r}.\n{_usage()}")
    module = importlib.import_module(f"loralab.cli.{name}")
    if {"--help", "-h"} & set(arguments):
        print(f"{COMMANDS[name]}\n\n{module.__doc__}")
        return
    try:
        module.main(arguments)
    except UserError as error:
        sys.exit(f"{error}")


def _usage() -> str:
    lines = [f"  {name:9} {meaning}" for name, meaning in COMMANDS.items()]
    return "\n".join(
        ["python -m loralab <command> key=value ...", *lines, "python train.py --help is about training."]
    )


if __name__ == "__main__":
    main()
