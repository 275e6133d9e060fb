"""The sentinel: reads a step's numbers when the next one has been queued, judges them, and acts.

Every step costs a few reductions over the adapter and one small copy to the host, which is never waited for. Validation
is measured anyway; a comparison with the base is added to it, and small pictures at snapshots. It stands before the
snapshots in the trainer's list: what is saved is judged first. With `action: warn` nothing of it changes what is
trained.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import lightning
import torch
from torch import Tensor

from loralab.adapter import adapter_parameters
from loralab.adapter.spectral import UpdateProbe
from loralab.files import atomic_write
from loralab.loggers.jsonl import read_metrics
from loralab.optim import gradient_norm, scale_lr
from loralab.training.folder import RunFolder
from loralab.training.readback import Readback
from loralab.training.sentinel.probe import VelocityProbe
from loralab.training.sentinel.rules import Alarm, Reading, Trends, Verdicts
from loralab.training.sentinel.settings import SentinelSettings
from loralab.training.snapshots import Snapshots
from loralab.training.validation import Validation

log = logging.getLogger(__name__)
MEASURED = ("error", "gradient_norm", "weight_norm", "spectral", "movement")


class Sentinel(lightning.Callback):
    """Watches a run, writes what it reads to `sentinel.jsonl`, and warns, lowers the rate, rolls back or stops."""

    def __init__(
        self,
        settings: SentinelSettings,
        *,
        folder: RunFolder,
        validation: Validation,
        snapshots: Snapshots,
        probe: VelocityProbe | None,
        measured: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        """Measures nothing before training starts.

        Args:
            settings: the limits and what is done about an alarm.
            folder: the run's.
            validation: its history is read; it stands before the sentinel in the trainer's list.
            snapshots: is told whether what it saves is good, and rolls back; it stands after the sentinel.
            probe: compares with the base; None where the model does not draw pictures.
            measured: entered while it draws, so that its memory is told from that of training steps.
        """
        self._settings, self._file = settings, folder.root / "sentinel.jsonl"
        self._validation, self._snapshots, self._probe, self._measured = (
            validation,
            snapshots,
            probe,
            measured,
        )
        self._trends, self._verdicts = Trends(), Verdicts(settings.limits)
        self._update: UpdateProbe | None = None
        self._errors: list[Tensor] = []
        self._gradient_norm: Tensor | None = None
        self._open: tuple[int, Readback] | None = None
        self._unwritten: list[Reading] = []
        self._step, self._num_validated = 0, 0
        self._seconds = {"steps": 0.0, "looks": 0.0}
        self._num_steps = 0
        self.alarms: list[Alarm] = []
        self.lowered: list[int] = []
        self.stopped: int | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Measures the base's weights and lets the base answer the prompts."""
        self._step, self._num_validated = trainer.global_step, len(self._validation.history)
        if self._file.is_file():
            kept = [line for line in read_metrics(self._file) if line["step"] <= self._step]
            atomic_write(self._file, "".join(json.dumps(line) + "\n" for line in kept))
        with self._timed("looks"), self._measured():
            self._update = UpdateProbe(_transformer(pl_module))
            if self._probe is not None:
                self._probe.start()

    def on_before_optimizer_step(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Measures the norm of the whole gradient before it is clipped."""
        with self._timed("steps"):
            self._gradient_norm = gradient_norm(optimizer)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Judges the step before; where something is saved or was validated, also the one that has just ended."""
        self._errors.append(outputs["error"].detach())
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        self._num_steps += 1
        with self._timed("steps"):
            alarms = self._settled()
            self._open = (self._step, self._queued(_transformer(pl_module)))
        with self._timed("looks"):
            alarms += self._validated()
            if self._snapshots.is_due(trainer):
                alarms += [*self._settled(), *self._looked()]
                self._write()
        self._snapshots.is_good = self._verdicts.is_good
        self._act(alarms, trainer, pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Writes what was read."""
        self._settled()
        self._write()

    def summary(self) -> dict[str, Any]:
        """Gives what result.json says: alarms, what was done about them, and the time that it took."""
        per_step = self._seconds["steps"] / max(self._num_steps, 1)
        return {
            "action": self._settings.action,
            "alarms": [{**dataclasses.asdict(alarm), "message": alarm.message} for alarm in self.alarms],
            "lowered": self.lowered,
            "stopped": self.stopped,
            "rolled_back_to": self._snapshots.rolled_back_to,
            "seconds_per_step": round(per_step, 6),
            "looks_s": round(self._seconds["looks"], 3),
        }

    def state_dict(self) -> dict[str, Any]:
        """Keeps trends and alarms over a resume."""
        return {
            "trends": self._trends.to_dict(),
            "in_a_row": self._verdicts.in_a_row,
            "shares": self._verdicts.shares,
            "alarms": [dataclasses.asdict(alarm) for alarm in self.alarms],
            "lowered": self.lowered,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes them up again."""
        self._trends = Trends.from_dict(state_dict["trends"])
        self._verdicts.in_a_row, self._verdicts.shares = (
            dict(state_dict["in_a_row"]),
            dict(state_dict["shares"]),
        )
        self.alarms = [Alarm(**alarm) for alarm in state_dict["alarms"]]
        self.lowered = list(state_dict["lowered"])

    def _queued(self, transformer: torch.nn.Module) -> Readback:
        """Starts the copy of a step's numbers to the host, in the order of MEASURED."""
        assert self._update is not None and self._gradient_norm is not None
        error, self._errors = torch.stack(self._errors).float().mean(), []
        weights = torch.nn.utils.get_total_norm([p.detach() for p in adapter_parameters(transformer)])
        numbers = [each.to(error.device) for each in (error, self._gradient_norm, weights)]
        return Readback(torch.cat([torch.stack(numbers), self._update.measure().to(error.device)]))

    def _settled(self) -> list[Alarm]:
        """Judges the open step, waiting for its numbers and for nothing later."""
        if self._open is None:
            return []
        (step, numbers), self._open = self._open, None
        return self._judged(Reading(step=step, **dict(zip(MEASURED, numbers.values(), strict=True))))

    def _validated(self) -> list[Alarm]:
        """Judges a validation that has just been measured against the best so far, which may be the base's."""
        history = self._validation.history
        if len(history) == self._num_validated:
            return []
        self._num_validated = len(history)
        step, bands = str(history[-1][0]), self._validation.bands.values()
        if any(step not in losses for losses in bands):
            return []
        with self._measured():
            drift = None if self._probe is None else self._probe.drift()
        worst = max(losses[step] / max(min(losses.values()), 1e-12) for losses in bands)
        whole = history[-1][1] / max(min(loss for _, loss in history), 1e-12)
        return self._judged(Reading(step=self._step, validation=whole, sigma=worst, drift=drift))

    def _looked(self) -> list[Alarm]:
        if self._probe is None:
            return []
        with self._measured():
            return self._judged(Reading(step=self._step, **self._probe.looks()))

    def _judged(self, reading: Reading) -> list[Alarm]:
        self._unwritten.append(reading)
        return self._verdicts.judge(reading.step, self._trends.add(reading))

    def _act(
        self, alarms: list[Alarm], trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Says every alarm; does what was asked for once, however many there are."""
        for alarm in alarms:
            log.warning("sentinel at step %d: %s", alarm.step, alarm.message)
        self.alarms += alarms
        action = self._settings.action
        if not alarms or action == "warn":
            return
        if action == "lower_lr":
            self._lower(trainer)
            return
        if action == "rollback":
            step = self._snapshots.roll_back(trainer, module)
            log.warning(
                "sentinel.action=rollback: %s",
                "there is no good snapshot yet; stopping with what there is"
                if step is None
                else f"back to step {step}",
            )
        self.stopped = self._step
        trainer.should_stop = True

    def _lower(self, trainer: lightning.Trainer) -> None:
        if len(self.lowered) == self._settings.most_lowerings:
            log.warning("sentinel: the rate was lowered %d times already; going on", len(self.lowered))
            return
        scale_lr(
            trainer.optimizers,
            [each.scheduler for each in trainer.lr_scheduler_configs],
            self._settings.factor,
        )
        self.lowered.append(self._step)
        self._verdicts.in_a_row.clear()  # what is still above its limit alarms again
        log.warning(
            "sentinel.action=lower_lr: learning rate times %g from step %d on",
            self._settings.factor,
            self._step,
        )

    def _write(self) -> None:
        lines = [
            json.dumps(
                {key: value for key, value in dataclasses.asdict(reading).items() if value is not None}
            )
            + "\n"
            for reading in self._unwritten
        ]
        self._unwritten = []
        with self._file.open("a", encoding="utf-8") as file:
            file.writelines(lines)

    @contextlib.contextmanager
    def _timed(self, what: str) -> Any:
        started = time.perf_counter()
        yield
        self._seconds[what] += time.perf_counter() - started


def _transformer(module: lightning.LightningModule) -> torch.nn.Module:
    transformer = module.transformer
    assert isinstance(transformer, torch.nn.Module)
    return transformer
