"""Trains several runs at once on one base: packed <file> pack=auto|K, with the overrides of one run on each line.

    python -m loralab packed runs.txt pack=4        # a line: optimizer.lr=1e-3 adapter.rank=8 evaluation=none
    python -m loralab packed -                      # what `hydra/launcher=packed` starts: loralab.run.attending

A run's folder is hydra.run.dir=... of its line, or runs/<number of the line> beside the file. Runs on one base share
model, dataset, objective, memory and micro_batch_size; adapter, optimizer, schedule, steps and seed are each run's own.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loralab.errors import UserError, joined


def main(arguments: Sequence[str]) -> None:
    """Trains the runs of a file, or those that another process tells.

    Raises:
        UserError: for a file that cannot be read, and if a run has failed.
    """
    names = [argument for argument in arguments if "=" not in argument]
    if len(names) != 1:
        raise UserError(
            "packed needs one file with the overrides of a run on each line, or - for a process that tells"
        )
    settings = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    if unknown := [key for key in settings if key != "pack"]:
        raise UserError(
            f"{unknown[0]}={settings[unknown[0]]}: packed takes pack=auto|K; a run's settings are its line"
        )
    if names == ["-"]:
        _attend()
    else:
        _train(Path(names[0]), pack=settings.get("pack", "auto"))


def _attend() -> None:
    """Keeps the real output for answers: whatever else prints goes where logs go."""
    from loralab.run.attending import attend

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    attend(sys.stdin, say)


def _train(path: Path, *, pack: str) -> None:
    from loralab.cli.compose import composed_run
    from loralab.run.pack import Job, Pack, run_all
    from loralab.run.widths import width_of

    if not path.is_file():
        raise UserError(f"packed {path}: there is no such file; write the overrides of one run on each line")
    jobs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        typed = shlex.split(line, comments=True)
        folders = [override.split("=", 1)[1] for override in typed if override.startswith("hydra.run.dir=")]
        overrides = [override for override in typed if not override.startswith("hydra.")]
        root = Path(folders[-1] if folders else path.parent / "runs" / f"{number:04d}")
        if typed:
            jobs.append(Job(config=composed_run(overrides), root=root, overrides=overrides))
    if not jobs:
        raise UserError(f"packed {path}: the file is empty; write the overrides of one run on each line")
    configs = [job.config for job in jobs]
    rank = max(config.adapter.rank for config in configs)
    targets = sorted({config.adapter.targets for config in configs})
    width = width_of(pack, configs[0], rank=rank, targets=targets, most=len(jobs))
    logging.getLogger("loralab").info("a pack of %d for %d runs", width, len(jobs))
    packed = Pack(configs[0], width=width, rank=rank, targets=targets)
    ends = zip(jobs, run_all(packed, jobs), strict=True)
    if failed := [f"{job.root}: {type(end).__name__}: {end}" for job, end in ends if end is not None]:
        raise UserError(f"{len(failed)} of {len(jobs)} runs failed:\n" + joined(failed))
