"""Lightning's trainer, set up for adapters: what it prints and keeps by itself is left to our callbacks."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning

QUIET = ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda")
EXPECTED = (
    ".*does not have many workers.*",  # batches are read from the cache, which needs none
    ".*`training_step` returned.*",
    ".*treespec.*deprecated.*",  # inside lightning
)


def build_trainer(
    factory: Callable[..., lightning.Trainer],
    *,
    num_steps: int,
    accumulate: int,
    loggers: Sequence[Any],
    callbacks: Sequence[lightning.Callback],
) -> lightning.Trainer:
    """Makes a trainer that counts optimizer steps and leaves bars, checkpoints and validation to our callbacks."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    return factory(
        max_steps=num_steps,
        max_epochs=-1,
        accumulate_grad_batches=accumulate,
        logger=list(loggers),
        callbacks=list(callbacks),
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


@contextlib.contextmanager
def warnings_expected() -> Iterator[None]:
    """Silences what Lightning says about every run."""
    with warnings.catch_warnings():
        for message in EXPECTED:
            warnings.filterwarnings("ignore", message=message)
        yield


def fit(
    trainer: lightning.Trainer, module: lightning.LightningModule, *, loader: Any, resume_from: Path | None
) -> None:
    """Trains to the last step or until a callback stops the trainer.

    Filters of warnings are the process's: in a further thread, whoever started it has set `warnings_expected`.
    """
    checkpoint = None if resume_from is None else str(resume_from)
    is_main = threading.current_thread() is threading.main_thread()
    with warnings_expected() if is_main else contextlib.nullcontext():
        trainer.fit(module, train_dataloaders=loader, ckpt_path=checkpoint, weights_only=True)
