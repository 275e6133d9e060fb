"""Makes a run's loggers and ends them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from loralab.loggers.jsonl import JsonlLogger
from loralab.loggers.redact import redacted
from loralab.loggers.weights_and_biases import WandbSettings, finish


def build_loggers(
    *,
    folder: str | Path,
    config: Mapping[str, Any],
    csv: bool = False,
    tensorboard: bool = False,
    wandb: WandbSettings | None = None,
) -> list[Logger]:
    """Gives the loggers of the run in `folder`, told its configuration without secrets.

    Args:
        folder: the run's folder; all files of loggers lie in it.
        config: the composed configuration.
        csv: also write csv/version_*/metrics.csv, a new version for each resume.
        tensorboard: also write event files to tensorboard/.
        wandb: also log to W&B.
    """
    folder = Path(folder)
    loggers: list[Logger] = [JsonlLogger(folder / "metrics.jsonl")]
    if csv:
        loggers.append(CSVLogger(folder, name="csv", flush_logs_every_n_steps=1))
    if tensorboard:
        loggers.append(TensorBoardLogger(folder, name="tensorboard", version="", default_hp_metric=False))
    if wandb is not None:
        loggers.append(wandb.build(folder))
    shown = redacted(config)
    for logger in loggers:
        logger.log_hyperparams(shown)
    return loggers


def close_loggers(loggers: Sequence[Logger], *, status: str = "success") -> list[str]:
    """Flushes and ends all loggers; gives commands that the user may want to run next."""
    for logger in loggers:
        logger.finalize(status)
    commands = [finish(logger) for logger in loggers if isinstance(logger, WandbLogger)]
    return [command for command in commands if command is not None]
