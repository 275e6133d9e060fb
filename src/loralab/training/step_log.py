"""Logs the loss of every step, learning rate, gradient norm and speed; a NaN or Inf loss stops the run.

Losses stay on the device until they are logged, and the finite check looks one step back, so that a GPU is not made
to wait for the host.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import lightning
import torch
from torch import Tensor

from loralab.optim import effective_lr


class TrainingDivergedError(RuntimeError):
    """The loss or the adapter is no longer finite; everything saved before is good."""


class StepLog(lightning.Callback):
    """Writes `train/*` metrics every `every` steps, at the number of finished steps."""

    def __init__(self, *, every: int) -> None:
        """Logs each `every`-th step and the first."""
        self._every = every
        self._errors: list[Tensor] = []
        self._losses: list[Tensor] = []
        self._gradient_norm: Tensor | None = None
        self._previous: Tensor | None = None
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
        if (self._step + 1) % self._every == 0 or self._step == 0:
            gradients = [
                p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None
            ]
            self._gradient_norm = torch.nn.utils.get_total_norm(gradients)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Collects micro-batches; at the end of a step checks and logs."""
        self._collect(outputs)
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        self._check(torch.stack(self._losses).sum())
        if self._step % self._every == 0 or self._step == 1:
            self._log(trainer)
        self._errors, self._losses = [], []

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Checks the last step, which no later step has looked back at."""
        if self._previous is not None and not math.isfinite(self._previous.item()):
            raise TrainingDivergedError(f"the loss became {self._previous.item()} at step {self._step}")

    def _collect(self, outputs: Mapping[str, Tensor]) -> None:
        self._errors.append(outputs["error"].detach())
        self._losses.append(outputs["loss"].detach())

    def _check(self, loss: Tensor) -> None:
        previous, self._previous = self._previous, loss
        if previous is not None and not math.isfinite(previous.item()):
            raise TrainingDivergedError(f"the loss became {previous.item()} at step {self._step - 1}")

    def _log(self, trainer: lightning.Trainer) -> None:
        now, (then, before) = time.perf_counter(), self._clock
        self._clock = (now, self._step)
        metrics = {
            "train/loss": torch.stack(self._errors).mean().item(),
            "train/learning_rate": effective_lr(trainer.optimizers[0]),
            "train/seconds_per_step": (now - then) / max(self._step - before, 1),
        }
        if self._gradient_norm is not None:
            metrics["train/gradient_norm"] = self._gradient_norm.item()
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=self._step)
