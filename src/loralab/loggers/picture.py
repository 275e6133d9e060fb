"""Shows a picture to every logger that takes pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger


def log_picture(loggers: Sequence[Logger], *, name: str, path: str | Path, step: int) -> None:
    """Sends a picture file to W&B and TensorBoard under one name; files of metrics take none."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(key=name, images=[str(path)], step=step)
        elif isinstance(logger, TensorBoardLogger):
            _to_tensorboard(logger, name=name, path=path, step=step)


def _to_tensorboard(logger: TensorBoardLogger, *, name: str, path: str | Path, step: int) -> None:
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB"))
    logger.experiment.add_image(name, pixels, global_step=step, dataformats="HWC")
