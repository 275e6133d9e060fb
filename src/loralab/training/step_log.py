"""Logs the loss of every step, learning rate, gradient norm and speed; a NaN or Inf loss stops the run.

What else an objective tells, `signals` beside its loss, is logged under the names that it gives.

A step's numbers are read when the next one has been queued, so that a GPU never waits for the host. They are logged at
their own step all the same, and before anything of the next one. A checkpoint and the end of training settle what
is open.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch import Tensor

from loralab.optim import effective_lr, gradient_norm
from loralab.training.readback import Readback


class TrainingDivergedError(RuntimeError):
    """The loss or the adapter is no longer finite; everything saved before is good."""


@dataclass(frozen=True, kw_only=True)
class _Finished:
    """A step whose numbers have not been read yet.

    Attributes:
        step: its number.
        loss: what was minimised, which must be finite.
        readings: metrics to log that are still on the device.
        metrics: metrics to log that the host knows; None where the step is not logged.
    """

    step: int
    loss: Readback
    readings: Mapping[str, Readback]
    metrics: Mapping[str, float] | None


class StepLog(lightning.Callback):
    """Writes `train/*` metrics every `every` steps, at the number of finished steps."""

    def __init__(self, *, every: int) -> None:
        """Logs each `every`-th step and the first."""
        self._every = every
        self._errors: list[Tensor] = []
        self._losses: list[Tensor] = []
        self._signals: dict[str, list[Tensor | float]] = {}
        self._gradient_norm: Readback | None = None
        self._open: _Finished | None = None
        self._step = 0
        self._clock = (time.perf_counter(), 0)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Starts the clock at the step from which training goes on."""
        self._step = trainer.global_step
        self._clock = (time.perf_counter(), self._step)

    def on_before_optimizer_step(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Measures the norm of the whole gradient before it is clipped."""
        if self._is_logged(self._step + 1):
            self._gradient_norm = Readback(gradient_norm(optimizer))

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Collects micro-batches; at the end of a step settles the one before."""
        self._errors.append(outputs["error"].detach())
        self._losses.append(outputs["loss"].detach())
        for name, signal in outputs.get("signals", {}).items():
            self._signals.setdefault(name, []).append(signal)
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        self._settle(trainer)
        self._open = self._finished(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Settles the last step."""
        self._settle(trainer)

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Settles the step of the checkpoint: a run that is resumed from it does not see that step again."""
        self._settle(trainer)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Settles the last step that ended; what stopped the run stays its reason."""
        with contextlib.suppress(RuntimeError):  # a NaN beside it, or a device that failed
            self._settle(trainer)

    def _finished(self, trainer: lightning.Trainer) -> _Finished:
        """Starts reading the step that has just been queued."""
        loss, error = Readback(torch.stack(self._losses).sum()), torch.stack(self._errors).mean()
        self._errors, self._losses = [], []
        signals, self._signals = self._signals, {}
        if not self._is_logged(self._step):
            return _Finished(step=self._step, loss=loss, readings={}, metrics=None)
        now, (then, before) = time.perf_counter(), self._clock
        self._clock = (now, self._step)
        readings = {"train/loss": Readback(error)}
        readings |= {name: Readback(_mean(values)) for name, values in signals.items()}
        if self._gradient_norm is not None:
            readings["train/gradient_norm"] = self._gradient_norm
        metrics = {
            "train/learning_rate": effective_lr(trainer.optimizers[0]),
            "train/seconds_per_step": (now - then) / max(self._step - before, 1),
        }
        return _Finished(step=self._step, loss=loss, readings=readings, metrics=metrics)

    def _settle(self, trainer: lightning.Trainer) -> None:
        """Logs and checks the open step, waiting for it and for nothing later."""
        finished, self._open = self._open, None
        if finished is None:
            return
        if finished.metrics is not None:
            metrics = {name: reading.value() for name, reading in finished.readings.items()}
            for logger in trainer.loggers:
                logger.log_metrics({**metrics, **finished.metrics}, step=finished.step)
        loss = finished.loss.value()
        if not math.isfinite(loss):
            raise TrainingDivergedError(f"the loss became {loss} at step {finished.step}")

    def _is_logged(self, step: int) -> bool:
        return step % self._every == 0 or step == 1


def _mean(values: Sequence[Tensor | float]) -> Tensor:
    """Gives the mean over the micro-batches that told a value, on its device."""
    return torch.stack([torch.as_tensor(value).detach().float() for value in values]).mean()
