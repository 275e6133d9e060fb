"""Looks at a few-step run while it trains: does the student, used alone at few steps, still draw as few steps should?

Every `every` steps the student alone, without assistant, teacher or fake, draws fixed prompts at the checkpoint's own
number of steps and at many. It is compared with the untouched checkpoint on the same noise. A rule that is broken
(loralab.training.alarms) is a line in the log and an entry in result.json, and ends the run only where `watch.stop`
says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import nn

from loralab import names
from loralab.adapter import Ema, disabled, update_norms, with_state
from loralab.adapter.compare import update_cosine
from loralab.adapter.roles import STUDENT, Roles
from loralab.data.batch import Batch
from loralab.denoiser import Denoiser
from loralab.evaluation import looks
from loralab.evaluation.distribution import sharpness
from loralab.evaluation.looks import Latents, Watched
from loralab.evaluation.pictures import save_png
from loralab.loggers.picture import log_picture
from loralab.optim import averaged
from loralab.training.alarms import Alarm, Reading, alarms, best_step
from loralab.training.watch_settings import WatchSettings
from loralab.training.watched import WatchedTexts, watched_texts

__all__ = ["FewStepWatch", "WatchSettings", "Watched", "WatchedTexts", "watched_texts"]

log = logging.getLogger(__name__)
Metrics = dict[str, float]


class FewStepWatch(lightning.Callback):
    """Logs what few steps draw, raises alarms and keeps pictures; nothing of it changes what is trained."""

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        settings: WatchSettings,
        prompts: Watched,
        folder: Path,
        batches: Sequence[Batch] = (),
        teacher: str | None = None,
        reference: Sequence[str] = (),
        readings: Callable[[], Mapping[str, float]] = dict,
        ema: Ema | None = None,
        judged_from: int = 0,
        measured: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        """Draws nothing before training starts.

        Args:
            denoiser: its transformer carries the adapters; the student is the one that is trained.
            settings: how often, how much, and what an alarm does.
            prompts: what is drawn.
            folder: the run's; pictures go to `watch`.
            batches: held-out pictures of the concept; without them or without `reference` there is no fm_excess.
            teacher: name of the concept teacher inside the transformer, where there is one.
            reference: names of the adapters that together are the flow-matching optimum of the concept.
            readings: gives the objective's newest `dm/rel_gap` and `dm/cos`, where it has them.
            ema: the average that is exported instead of the student, where there is one.
            judged_from: the step after which rules hold; before it a stage goes on that is mended by the next one.
            measured: entered while it looks, so that its memory is told from that of training steps.
        """
        self._denoiser, self._settings, self._prompts = denoiser, settings, prompts
        self._folder, self._batches = folder / "watch", tuple(batches)
        self._teacher, self._reference, self._readings, self._ema = teacher, tuple(reference), readings, ema
        self._looked = -1
        self._untouched: tuple[Latents, torch.Tensor | None] | None = None
        self._optimum: tuple[float, float] | None = None
        self._judged_from, self._measured = judged_from, measured
        self.history: list[Reading] = []
        self.metrics: dict[int, Metrics] = {}
        self.alarms: list[Alarm] = []
        self.stopped: int | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Draws what the untouched checkpoint draws."""
        if not self._settings.every:
            return
        started = time.perf_counter()
        with self._measured():
            with disabled(self._denoiser.transformer):
                few = looks.drawn_latents(self._denoiser, self._prompts, num_steps=self._num_steps)
            (pictures,) = self._decoded(few)
        self._untouched = (few, pictures)
        self._looked = trainer.global_step
        self._say(trainer.max_steps, seconds=time.perf_counter() - started)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Looks when a step has ended that is a multiple of `every`, or the last."""
        step, every = trainer.global_step, self._settings.every
        if not every or step == self._looked or (step % every and step != trainer.max_steps):
            return
        self._looked = step
        with self._measured(), self._as_used(trainer):
            self.look(trainer, step)

    def look(self, trainer: lightning.Trainer, step: int) -> None:
        """Draws, measures, logs and judges the student as it is now."""
        assert self._untouched is not None
        started = time.perf_counter()
        with Roles(self._denoiser.transformer).active(STUDENT):
            few, many = (
                looks.drawn_latents(self._denoiser, self._prompts, num_steps=num_steps)
                for num_steps in (self._num_steps, self._settings.long_steps)
            )
            metrics = self._compared(few, many)
        metrics |= self._excess() | self._of_weights() | self._kept(trainer, step, few=few, many=many)
        metrics["watch/seconds"] = time.perf_counter() - started
        log.info("watch: looked at step %d in %.1f s", step, metrics["watch/seconds"])
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=step)
        self.metrics[step] = metrics
        self._judge(trainer, step, metrics)

    def summary(self) -> dict[str, Any]:
        """Gives what result.json says: alarms, where the run was stopped, all readings, the step of the least gap."""
        return {
            "alarms": [dataclasses.asdict(alarm) for alarm in self.alarms],
            "stopped": self.stopped,
            "best_step": best_step(self.history),
            "readings": {str(step): metrics for step, metrics in self.metrics.items()},
        }

    def state_dict(self) -> dict[str, Any]:
        """Keeps readings and alarms over a resume."""
        return {
            "history": [dataclasses.asdict(reading) for reading in self.history],
            "metrics": {str(step): metrics for step, metrics in self.metrics.items()},
            "alarms": [dataclasses.asdict(alarm) for alarm in self.alarms],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes them up again."""
        self.history = [Reading(**reading) for reading in state_dict["history"]]
        self.metrics = {int(step): dict(metrics) for step, metrics in state_dict["metrics"].items()}
        self.alarms = [Alarm(**alarm) for alarm in state_dict["alarms"]]

    @property
    def _num_steps(self) -> int:
        return self._denoiser.sampling.num_steps

    def _say(self, max_steps: int, *, seconds: float) -> None:
        """Tells what a look draws and how long the checkpoint's own few steps took: time that no step is trained in."""
        settings, sampling = self._settings, self._denoiser.sampling
        log.info(
            "watch: %d pictures of %dx%d drawn in %d steps (%.1f s); every %d of %d training steps they are drawn in %d"
            " and in %d steps (watch.every, watch.long_steps)",
            len(self._prompts.prompts.texts), sampling.width, sampling.height, self._num_steps, seconds,
            settings.every, max_steps, self._num_steps, settings.long_steps,
        )  # fmt: skip

    @contextlib.contextmanager
    def _as_used(self, trainer: lightning.Trainer) -> Iterator[None]:
        """Lets the student hold what its file would: an average, where one is exported."""
        transformer: nn.Module = self._denoiser.transformer
        with contextlib.ExitStack() as stack:
            stack.enter_context(averaged(trainer.optimizers[0]))
            if self._ema is not None and self._ema.average:
                stack.enter_context(with_state(transformer, self._ema.average))
            yield

    def _compared(self, few: Latents, many: Latents) -> Metrics:
        assert self._untouched is not None
        untouched, count = self._untouched[0], self._prompts.num_prior
        return {
            "x0/hf": looks.detail(few, reference=untouched),
            "x0/std": looks.spread(few, reference=untouched),
            "retain/drift": looks.relative_distance(few[:count], reference=untouched[:count]),
            "retain/nfe_gap": looks.detail(many, reference=few),
        }

    def _excess(self) -> Metrics:
        """Gives how far the flow-matching error is above its optimum: about 0.3 where few steps work."""
        size = self._teacher_size()
        if not (self._batches and self._reference) or size == 0:
            return {}
        roles = Roles(self._denoiser.transformer)
        if self._optimum is None or self._optimum[0] != size:
            with roles.active(*self._reference):
                self._optimum = (size, looks.flow_error(self._denoiser, self._batches))
        with roles.active(STUDENT):
            error = looks.flow_error(self._denoiser, self._batches)
        return {"detector/fm_excess": error / self._optimum[1] - 1}

    def _teacher_size(self) -> float:
        """Gives the length of the teacher's update: 0 until there is one; another length is another teacher."""
        if self._teacher is None:
            return math.inf
        return math.hypot(*update_norms(self._denoiser.transformer, name=self._teacher).values())

    def _of_weights(self) -> Metrics:
        transformer = self._denoiser.transformer
        found = {"lora/norm": math.hypot(*update_norms(transformer).values())}
        if self._teacher is not None and self._teacher_size() > 0:
            found["lora/cos"] = update_cosine(transformer, self._teacher)
        return found

    def _kept(self, trainer: lightning.Trainer, step: int, *, few: Latents, many: Latents) -> Metrics:
        """Keeps the pictures, few steps beside many; gives their sharpness in pixels."""
        assert self._untouched is not None
        before, (after, longer) = self._untouched[1], self._decoded(few, many)
        if before is None or after is None or longer is None:
            return {}
        columns = {"untouched": before, f"{self._num_steps} steps": after}
        columns[f"{self._settings.long_steps} steps"] = longer
        if trainer.is_global_zero:
            grid = looks.beside(columns, self._prompts.prompts.texts)
            path = save_png(grid, self._folder / f"step_{step:06d}.png")
            log_picture(trainer.loggers, name=names.LOOK, path=path, step=step)
        return {"retain/sharpness": sharpness(after, reference=before)}

    def _decoded(self, *latents: Latents) -> list[torch.Tensor | None]:
        if not self._settings.pictures:
            return [None] * len(latents)
        pictures = [self._denoiser.decode_latents(each).clamp(-1, 1) for each in latents]
        self._denoiser.release("vae")
        return list(pictures)

    def _judge(self, trainer: lightning.Trainer, step: int, metrics: Mapping[str, float]) -> None:
        if step <= self._judged_from:
            return
        matching = self._readings()
        self.history.append(
            Reading(
                step=step,
                detail=metrics["x0/hf"],
                drift=metrics["retain/drift"],
                nfe_gap=metrics["retain/nfe_gap"],
                rel_gap=matching.get("dm/rel_gap"),
                cosine=matching.get("dm/cos"),
            )
        )
        found = alarms(self.history)
        self.alarms += found
        for alarm in found:
            log.warning("alarm at step %d (%s): %s", step, alarm.name, alarm.message)
        if found and self._settings.stop and step < trainer.max_steps:
            log.warning("watch.stop=true: stopping at step %d", step)
            self.stopped = step
            trainer.should_stop = True
