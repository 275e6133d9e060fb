"""Launches trials into one process that holds the base once, and those that do not fit there by themselves.

A place of the sweep asks for its next trial as soon as its last one has ended, so that a free slot of the pack is taken
at the next step of the others. A trial that needs a process of its own waits until the pack is empty and closed, since
one card would have to hold two bases otherwise; the next trial that fits opens it again.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from loralab.errors import UserError
from loralab.files import atomic_write
from loralab.run.alike import differing, unpackable
from loralab.run.widths import width_of
from loralab.study import StudySettings
from loralab.study.outcome import OVERTIME
from loralab.sweeper.asked import Asked, ends_of
from loralab.sweeper.launcher import GRACE_S, Processes, TimeoutReachedError
from loralab.sweeper.pack_process import PackProcess

log = logging.getLogger("loralab")
MOST_DEATHS = 3
"""A pack's process that was killed so often is not opened again: trials then run one by one."""


class Packing:
    """The launcher behind `hydra/launcher=packed`."""

    def __init__(
        self,
        config: DictConfig,
        *,
        context: HydraContext,
        pack: str | int = "auto",
        timeout_s: float | None = None,
        env: Mapping[str, Any] | None = None,
    ) -> None:
        """Opens nothing yet.

        Args:
            config: what Hydra has composed for the sweep.
            context: Hydra's.
            pack: trials at a time, or auto.
            timeout_s: how long a trial may take.
            env: what processes' environment has beside this one's.
        """
        self._config, self._context, self._pack, self._timeout_s = config, context, pack, timeout_s
        self._alone = Processes(config, context=context, timeout_s=timeout_s, env=env)
        self._env = {key: str(value) for key, value in (env or {}).items()}
        self._gate = _Gate()
        self._process: PackProcess | None = None
        self._first: DictConfig | None = None
        self._starting = threading.Lock()
        self._is_broken = False
        self._num_deaths = 0
        self._told: set[str] = set()
        self.num_places = 1
        self._bounds: dict[str, Any] = {}

    def prepare(self, asked: Asked, settings: StudySettings) -> int:
        """Takes the bounds of what is searched; gives how many trials to launch at a time.

        Raises:
            UserError: for a number of workers: the pack's width is the number of trials at a time.
        """
        if settings.num_workers != 1:
            raise UserError(
                f"study.num_workers={settings.num_workers} has no effect with hydra/launcher=packed; "
                "hydra.launcher.pack says how many trials train at a time"
            )
        rank = int(max(ends_of(asked, "adapter.rank")))
        targets = sorted(map(str, ends_of(asked, "adapter.targets")))
        self.num_places = width_of(
            self._pack, asked.base, rank=rank, targets=targets, most=settings.num_trials
        )
        self._bounds = {"width": self.num_places, "rank": rank, "targets": targets}
        log.info(
            "packed: %d trials at a time on one base (hydra.launcher.pack=%s)", self.num_places, self._pack
        )
        return self.num_places

    def launch(self, jobs: Sequence[Sequence[str]], *, first: int) -> list[JobReturn]:
        """Runs jobs and gives how each ended, in their order."""
        with ThreadPoolExecutor(self.num_places) as pool:
            return list(pool.map(self._run, jobs, itertools.count(first)))

    def close(self) -> None:
        """Ends the pack's process, which has no trial any more."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _run(self, overrides: Sequence[str], number: int) -> JobReturn:
        config = self._context.config_loader.load_sweep_config(self._config, list(overrides))
        with open_dict(config):
            del config.hydra
        job = None
        if (reason := self._obstacle(config)) is None:
            with self._gate.together():
                job = self._packed(config, overrides, number)
        if job is not None:
            return job
        reason = reason or self._obstacle(config) or "the pack could not be opened"
        if reason not in self._told:
            self._told.add(reason)
            log.info("packed: trial %d runs by itself: %s", number, reason)
        with self._gate.alone():
            self.close()
            return self._alone.launch([overrides], first=number)[0]

    def _obstacle(self, config: DictConfig) -> str | None:
        if self._is_broken:
            return "the pack has failed; pack.log in the study's folder says why"
        reason = unpackable(config)
        return reason if reason or self._first is None else differing(config, self._first)

    def _packed(self, config: DictConfig, overrides: Sequence[str], number: int) -> JobReturn | None:
        """Trains a trial in the pack; None where there is no pack to be had."""
        folder = self._alone.folder(overrides, number)
        folder.mkdir(parents=True, exist_ok=True)
        job = JobReturn(overrides=list(overrides), working_dir=str(folder), status=JobStatus.FAILED)
        typed = [override for override in overrides if not override.lstrip("+~").startswith("hydra")]
        message = {"root": str(folder), "overrides": typed, "config": OmegaConf.to_yaml(config)}
        process = self._opened(config)
        answer = process.ask(message, timeout_s=self._timeout_s)
        if answer is None:
            reason = f"it took longer than hydra.launcher.timeout_s={self._timeout_s}"
            atomic_write(folder / OVERTIME, reason)
            process.tell({"stop": str(folder)})
            process.wait(message, timeout_s=GRACE_S)
            job.return_value = TimeoutReachedError(reason)
            return job
        self._is_broken = self._is_broken or bool(answer.get("is_broken")) or self._num_deaths >= MOST_DEATHS
        if not answer.get("has_begun", True):
            return None
        if answer["failure"] is None:
            job.status, job.return_value = JobStatus.COMPLETED, None
        else:
            job.return_value = RuntimeError(answer["failure"])
        return job

    def _opened(self, config: DictConfig) -> PackProcess:
        with self._starting:
            if self._process is None or not self._process.is_alive():
                self._num_deaths += self._process is not None and not self._process.is_closed
                self._first = config
                path = Path(str(self._config.hydra.sweep.dir)).absolute() / "pack.log"
                self._process = PackProcess(self._bounds, path=path, env=self._env)
            return self._process


class _Gate:
    """Lets many pass together, or one alone; who waits to be alone goes before those who come later."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._waiting = 0
        self._is_taken = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Passes with others."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_taken and not self._waiting)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Passes when nobody is inside, and keeps everybody out meanwhile."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._is_taken and not self._inside)
            self._waiting -= 1
            self._is_taken = True
        try:
            yield
        finally:
            with self._changed:
                self._is_taken = False
                self._changed.notify_all()
