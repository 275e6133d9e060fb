"""Shows a video to every logger that takes videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.loggers import Logger, WandbLogger


def log_video(loggers: Sequence[Logger], *, name: str, path: str | Path, caption: str, step: int) -> None:
    """Sends an mp4 with its sound to W&B, as the file is; the other loggers take no videos."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_video(key=name, videos=[str(path)], step=step, format=["mp4"], caption=[caption])
