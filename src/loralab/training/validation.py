"""Measures the error on held-out pictures at fixed noise and sigmas: comparable between runs, seeds and devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning
import torch

from loralab import names
from loralab.data.batch import AnyBatch
from loralab.objectives import Objective
from loralab.objectives.objective import LOSS as TOTAL
from loralab.optim import averaged

LOSS, DETECTOR = names.VALIDATION, names.DETECTOR


class Validation(lightning.Callback):
    """Logs one metric per noise level and their mean, `validation/loss`, before the first step and every `every`.

    Where the error is a sum over modalities, each of them has such metrics too: `validation/video`, `validation/audio`.

    On a few-step model the same numbers are a detector, `detector/flow_matching`: they fall as few steps are lost.
    """

    def __init__(
        self, batches: Sequence[AnyBatch], *, levels: Sequence[float], every: int, is_detector: bool = False
    ) -> None:
        """Keeps the batches; without any it does nothing."""
        self._name = DETECTOR if is_detector else LOSS
        self._batches = tuple(batches)
        self._levels = tuple(levels)
        self._every = every
        self._measured_step = -1
        self.history: list[tuple[int, float]] = []
        self.bands: dict[str, dict[str, float]] = {f"{level:.2f}": {} for level in levels}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Measures the untrained adapter, which is the base."""
        self._measured_step = trainer.global_step
        if trainer.global_step == 0:
            self.measure(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Measures when a step has ended that is a multiple of `every`, or the last."""
        due = trainer.global_step % self._every == 0 or trainer.global_step == trainer.max_steps
        if due and trainer.global_step != self._measured_step:
            self._measured_step = trainer.global_step
            self.measure(trainer, pl_module)

    def measure(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Runs all batches without dropout and logs the means over pictures."""
        if not self._batches:
            return
        assert isinstance(module, Objective)
        training = module.training
        module.eval()
        with averaged(trainer.optimizers[0]):
            errors = [
                module.validation_errors(b.to(module.device), levels=self._levels) for b in self._batches
            ]
        module.train(training)
        metrics: dict[str, float] = {}
        for part in errors[0]:
            name = self._name if part == TOTAL else names.validation_of(part)
            means = torch.cat([error[part] for error in errors], 1).mean(1).tolist()
            metrics |= {
                names.at_sigma(name, level): mean for level, mean in zip(self.bands, means, strict=True)
            }
            metrics[name] = sum(means) / len(means)
        self.history.append((trainer.global_step, metrics[self._name]))
        for level in self.bands:
            self.bands[level][str(trainer.global_step)] = metrics[names.at_sigma(self._name, level)]
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Keeps the history over a resume."""
        return {"history": [list(entry) for entry in self.history], "bands": self.bands}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the history up again."""
        self.history = [(int(step), float(loss)) for step, loss in state_dict["history"]]
        self.bands = {level: dict(losses) for level, losses in state_dict["bands"].items()}
