"""Ctrl-C, SIGTERM and a scheduler's notice end a run at the next step, with a checkpoint to resume from."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from types import FrameType
from typing import Any

import lightning

log = logging.getLogger(__name__)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""The last is what SLURM is usually told to send ahead of the end: `#SBATCH --signal=USR1@120`."""


class Interrupt(lightning.Callback):
    """Turns the first signal into a stop at the end of the running step; a second one ends the process at once."""

    def __init__(self, signals: Sequence[signal.Signals] = SIGNALS) -> None:
        """Waits for `on_train_start` to take the signals over; without any, `received` is set by somebody else."""
        self._signals = tuple(signals)
        self.received: str | None = None
        self._step = 0
        self._previous: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Installs the handlers over those of the trainer."""
        self._step = trainer.global_step
        self._previous = {number: signal.signal(number, self._handle) for number in self._signals}

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Asks the trainer to stop, only when an optimizer step has just ended."""
        stepped, self._step = trainer.global_step != self._step, trainer.global_step
        if self.received and stepped:
            trainer.should_stop = True

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Gives the signals back, before the trainer does the same with what was there before it.

        Given back later, the trainer's handlers would stay for good, and with them all that it had trained.
        """
        self._give_back()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Gives the signals back."""
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.received:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.received = name
        log.warning(
            "%s: stopping at the end of this step; once more stops at once and loses what was not saved", name
        )
