"""Ends a run that a study has given up, at the step of its last validation, on all processes of it at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import lightning

log = logging.getLogger(__name__)
Report = Callable[[int, float], bool]


@runtime_checkable
class Measured(Protocol):
    """Something that keeps (step, loss) of every validation so far, in order."""

    history: list[tuple[int, float]]


class Pruning(lightning.Callback):
    """Reports each new validation loss and stops the trainer when the answer is that more steps are not worth it.

    It must stand after the validation in the trainer's list. Only the process that has `report` asks; the others hear
    its answer, so that none is left waiting for a step that never comes.
    """

    def __init__(self, validation: Measured, *, report: Report | None) -> None:
        """Asks `report(step, loss)`, which exists in the first process of a trial only."""
        self._validation, self._report = validation, report
        self._num_seen = 0
        self.step: int | None = None

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Asks when there is something new; the untrained adapter's loss says nothing and is not reported."""
        new = [(step, loss) for step, loss in self._validation.history[self._num_seen :] if step > 0]
        self._num_seen = len(self._validation.history)
        if not new:
            return
        answers = [] if self._report is None else [self._report(step, loss) for step, loss in new]
        stop = any(answers)
        if trainer.world_size > 1:
            stop = trainer.strategy.broadcast(stop, src=0)
        if stop and trainer.global_step < trainer.max_steps:
            log.info("pruned at step %d: trials at this step have done better", trainer.global_step)
            self.step = trainer.global_step
            trainer.should_stop = True
