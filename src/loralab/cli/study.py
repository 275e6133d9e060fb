"""`python -m loralab study <name>`: what a study found, what it cost, and the line that repeats its best trial.

    num_best=10       trials in the table
    storage=<url>     where the study is, unless it is in its own folder
    wandb=true        also as a run on W&B, in the group of the trials
    wandb.project=loralab, wandb.entity=, wandb.mode=auto    where on W&B, as logger.wandb of the trials

It leaves trials.csv, study.json, pictures and experiment/best.yaml in the study's folder.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loralab.cli.arguments import flag, typed, whole
from loralab.cli.experiment_file import write_experiment
from loralab.errors import UserError

if TYPE_CHECKING:
    from loralab.loggers import WandbSettings
    from loralab.report.study import Summary

log = logging.getLogger("loralab")
KEYS = ("name", "storage", "num_best", "wandb", "wandb.project", "wandb.entity", "wandb.mode")


def main(arguments: Sequence[str]) -> None:
    """Prints the summary and writes the study's files."""
    from loralab.report.study import sections, show, summarized, write_summary
    from loralab.study import load
    from loralab.study.settings import STUDIES

    found = typed(arguments, command="study", known=KEYS)
    num_best, is_for_wandb = whole(found, "num_best", default=10), flag(found, "wandb")
    summary = summarized(load(found["name"], storage=found.get("storage")))
    folder = STUDIES / found["name"]
    show(sections(summary, num_best=num_best))
    written = [*write_summary(summary, folder), *_experiments(summary, folder)]
    log.info("\nwritten to %s: %s", folder, ", ".join(str(path.relative_to(folder)) for path in written))
    if is_for_wandb:
        _to_wandb(summary, folder, _wandb_settings(found))


def _experiments(summary: Summary, folder: Path) -> list[Path]:
    """Writes best.yaml, and with several objectives a file for each point of the front."""
    from loralab.report.study.lines import overrides_of
    from loralab.report.study.summary import values_of

    record, rows = summary.record, summary.repeated
    written = []
    for place, row in enumerate(rows):
        name = "best" if place == 0 else f"trial_{row.number:04d}"
        values = ", ".join(f"{metric} {value:.6g}" for metric, value in values_of(record, row).items())
        sentence = f"Trial {row.number} of study {record.name}: {values}."
        try:
            overrides = overrides_of(record, row)
            written.append(write_experiment(folder, name, overrides=overrides, sentence=sentence))
        except UserError as error:
            log.warning("experiment/%s.yaml is not written: %s", name, error)
    return written


def _wandb_settings(found: dict[str, str]) -> WandbSettings:
    from loralab.loggers import WandbSettings

    settings = WandbSettings(mode=found.get("wandb.mode", "auto"), entity=found.get("wandb.entity"))
    return dataclasses.replace(settings, project=found.get("wandb.project", settings.project))


def _to_wandb(summary: Summary, folder: Path, settings: WandbSettings) -> None:
    from loralab.report.study.wandb_summary import log_study

    command = log_study(summary, folder, settings)
    log.info("%s", command or f"on W&B: project {settings.project}, group {summary.record.name}")
