"""One bar, counted in steps."""

from __future__ import annotations

import sys
from typing import Any

import lightning
from tqdm import tqdm

from loralab.training.readback import Readback

EVERY = 10
"""Steps between two readings of the loss."""


class Progress(lightning.Callback):
    """Shows step, loss (smoothed) and time left; plain sparse lines when the output is no terminal."""

    def __init__(self) -> None:
        """Opens the bar when training starts."""
        self._bar: tqdm[Any] | None = None
        self._loss: float | None = None
        self._reading: Readback | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Opens the bar at the step from which training goes on."""
        interval = 0.2 if sys.stderr.isatty() else 15.0
        self._bar = tqdm(
            total=trainer.max_steps,
            initial=trainer.global_step,
            desc="train",
            unit="step",
            mininterval=interval,
            maxinterval=interval,
            dynamic_ncols=True,
        )

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Moves the bar on; the loss of every tenth step is shown with the next one, when it has long been there."""
        assert self._bar is not None
        advanced = trainer.global_step - self._bar.n
        if advanced:
            self._show_loss()
            self._reading = Readback(outputs["error"]) if trainer.global_step % EVERY == 0 else None
        self._bar.update(advanced)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Shows the last loss that was read."""
        self._show_loss()

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Closes the bar."""
        if self._bar is not None:
            self._bar.close()

    def _show_loss(self) -> None:
        if self._bar is None or self._reading is None:
            return
        loss, self._reading = self._reading.value(), None
        self._loss = loss if self._loss is None else 0.8 * self._loss + 0.2 * loss
        self._bar.set_postfix(loss=f"{self._loss:.4f}", refresh=False)
