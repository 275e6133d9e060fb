"""A study as one run on W&B, in the group of its trials: the table of trials, the pictures, the figures.

Where this machine is not logged in, the run is written below the study's folder, to be synced later.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loralab import names
from loralab.loggers import WandbSettings, log_picture
from loralab.loggers.redact import redacted
from loralab.loggers.weights_and_biases import finish
from loralab.report.study.summary import Summary, values_of
from loralab.report.study.tables import columns, table

if TYPE_CHECKING:
    from lightning.pytorch.loggers import WandbLogger


def log_study(summary: Summary, folder: Path, settings: WandbSettings) -> str | None:
    """Makes the run, or goes on with the one of this folder; gives the command that uploads it if it is offline.

    Args:
        summary: the study.
        folder: the study's; its pictures are taken from there.
        settings: project and account; the group becomes the study's name.
    """
    name = summary.record.name
    logger = dataclasses.replace(settings, name=f"study-{name}", group=name, job_type=names.STUDY_JOB).build(
        folder
    )
    settings_of_study = redacted({"study": dict(summary.record.settings)})
    logger.experiment.config.update(settings_of_study, allow_val_change=True)
    for path in sorted(folder.glob("*.png")):
        log_picture([logger], name=names.study_picture(path.stem), path=path, step=0)
    _log_table(logger, summary)
    for name, value in figures(summary).items():
        logger.experiment.summary[name] = value
    return finish(logger)


def figures(summary: Summary) -> dict[str, Any]:
    """Gives the single numbers: the best trial, the recipe, importance, counts and cost."""
    record = summary.record
    found: dict[str, Any] = {f"trials/{state}": count for state, count in summary.counts.items()}
    for title, row in (("best", summary.best[0] if summary.best else None), ("recipe", record.recipe)):
        if row is not None and row.values is not None:
            parts = {"trial": row.number, **values_of(record, row), **row.params, "length": row.length}
            found.update({f"{title}/{name}": value for name, value in parts.items() if value is not None})
    found.update({f"importance/{share.name}": share.value for share in summary.shares})
    found.update({f"cost/{name}": value for name, value in dataclasses.asdict(summary.cost).items()})
    return found


def _log_table(logger: WandbLogger, summary: Summary) -> None:
    """W&B wants one type for each column."""
    record = summary.record
    rows = [[_cell(value) for value in cells] for cells in table(record)]
    texts = [any(isinstance(value, str) for value in column) for column in zip(*rows, strict=True)]
    data = [[_text(v) if is_text else v for v, is_text in zip(row, texts, strict=True)] for row in rows]
    logger.log_table(key=names.STUDY_TABLE, columns=columns(record), data=data, step=0)


def _cell(value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else value


def _text(value: Any) -> str | None:
    return None if value is None else f"{value:g}" if isinstance(value, float) else str(value)
