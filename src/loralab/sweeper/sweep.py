"""Runs a study: opens it, keeps its places busy until it has its trials, and says what came out.

The worker tells its result to the study itself; here it is only made sure that somebody has. Each place asks for the
next trial as soon as it is free, so that a slow trial holds nobody up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from loralab.config import built_study, quoted
from loralab.errors import UserError
from loralab.study import Draw, Draws, Lease, StudySettings, attrs, persistently, scoring_of, storage_url
from loralab.study.samplers import build_pruner
from loralab.sweeper.ablation import asked_ablation, tell_plan, write_outcome
from loralab.sweeper.asked import Asked, read_asked
from loralab.sweeper.launcher import stop_children
from loralab.sweeper.opened import opened_study
from loralab.sweeper.progress import Progress
from loralab.sweeper.verify import verified

if TYPE_CHECKING:
    from optuna import Study

log = logging.getLogger("loralab")
PAUSE_S = 1.0
IN_PROCESS = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
RAY = "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher"


def run_sweep(
    arguments: Sequence[str], *, config: DictConfig, context: HydraContext, task_function: TaskFunction
) -> None:
    """Runs the study that a command asks for, or goes on with it; a user's mistake is one message."""
    try:
        _refuse_further_processes()
        sweep = _Sweep(arguments, config=config, context=context)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=task_function, config=config
        )
        _start_ray(config)
        with sweep.prepared(launcher):
            is_interrupted = sweep.run(launcher)
    except UserError as error:
        log.error("%s", error)
        sys.exit(2)
    if is_interrupted:
        sys.exit(130)


def _refuse_further_processes() -> None:
    """DDP starts its further processes by the same command; in a sweep each would begin a sweep of its own."""
    if os.environ.get("LOCAL_RANK", "0") != "0" or os.environ.get("RANK", "0") != "0":
        raise UserError(
            "this process is not the first of a distributed run and must not start a sweep: "
            "use hydra/launcher=subprocess, whose trials start their processes themselves"
        )


def _start_ray(config: DictConfig) -> None:
    """Starts Ray where it is used: its launcher would from several places at once, which Ray refuses."""
    if config.hydra.launcher._target_ == RAY:
        from hydra_plugins.hydra_ray_launcher._launcher_util import start_ray

        start_ray(config.hydra.launcher.ray.init)


class _Sweep:
    """One process's share of a study."""

    def __init__(self, arguments: Sequence[str], *, config: DictConfig, context: HydraContext) -> None:
        self._settings, self._asked = _asked(arguments, config=config, context=context)
        if self._settings.num_workers > 1 and config.hydra.launcher._target_ == IN_PROCESS:
            raise UserError(
                f"study.num_workers={self._settings.num_workers} needs processes; hydra/launcher=basic has none"
            )
        self._config = config
        self._url = storage_url(self._settings.storage, folder=self._settings.folder)
        self._study: Study = opened_study(self._url, settings=self._settings, asked=self._asked)
        self._study.pruner = build_pruner(  # Hyperband's brackets guide the sampler, too
            self._settings.pruner, self._settings.pruner_options, num_steps=self._asked.num_steps
        )
        self._scoring = persistently(lambda: scoring_of(self._study, self._settings))
        self._draws = Draws(
            self._study,
            settings=self._settings,
            url=self._url,
            plan=self._asked.plan,
            scoring=self._scoring,
        )
        self._lease = Lease(self._study._storage, key=attrs.SWEEPER, lease_s=self._settings.lease_s)
        self._progress = Progress(
            self._study, settings=self._settings, plan=self._asked.plan, sets=self._asked.sets
        )
        self._num_places = self._settings.num_workers
        self._stopping = threading.Event()
        self._problem: Exception | None = None
        self._active = 0
        self._taking = threading.Lock()

    @contextlib.contextmanager
    def prepared(self, launcher: Launcher) -> Iterator[None]:
        """Lets a packed launcher say how many trials run at a time, and ends its process afterwards."""
        from hydra_plugins.loralab_study import PackedLauncher

        if not isinstance(launcher, PackedLauncher):
            yield
            return
        self._num_places = launcher.packing.prepare(self._asked, self._settings)
        try:
            yield
        finally:
            launcher.packing.close()

    def run(self, launcher: Launcher) -> bool:
        """Keeps all places busy until nothing is left; says whether it was asked to stop before."""
        previous = {n: signal.signal(n, self._asked_to_stop) for n in (signal.SIGINT, signal.SIGTERM)}
        self._lease.start()
        if self._asked.ablation is not None:
            tell_plan(self._study, asked=self._asked, settings=self._settings)
        try:
            with self._progress.shown():
                self._on_all_places(lambda: self._place(launcher))
        finally:
            self._lease.stop()
            for number, handler in previous.items():
                signal.signal(number, handler)
        if self._problem is not None:
            raise self._problem
        if self._asked.ablation is None:
            self._progress.summary()
        else:
            write_outcome(self._settings, url=self._url)
        return self._stopping.is_set()

    def _on_all_places(self, place: Callable[[], None]) -> None:
        """Runs in this thread where one place is enough: a trial in this very process may need it for signals."""
        if self._num_places == 1:
            place()
            return
        threads = [threading.Thread(target=place) for _ in range(self._num_places)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # short waits let signals through
                thread.join(0.5)

    def _place(self, launcher: Launcher) -> None:
        try:
            while not self._stopping.is_set():
                is_idle = self._active == 0 and self._draws.is_done()  # before: what runs may yet fail
                draw = self._taken()
                if draw is not None:
                    self._run_trial(draw, launcher)
                elif is_idle:
                    return
                else:
                    time.sleep(PAUSE_S)
        except Exception as error:  # one place must not end in silence while the others go on
            self._problem = error
            self._stopping.set()
            stop_children()

    def _taken(self) -> Draw | None:
        """Takes the next trial, unless trials of a launcher that has died still hold this machine's places."""
        with self._taking:
            if self._active + self._draws.num_orphans() >= self._num_places:
                return None
            draw = self._draws.next()
            self._active += draw is not None
            return draw

    def _run_trial(self, draw: Draw, launcher: Launcher) -> None:
        searched = self._asked.sets(draw.point)
        storage = self._study._storage
        persistently(lambda: storage.set_trial_user_attr(draw.trial_id, attrs.OVERRIDES, searched))
        self._lease.add(draw.trial_id)
        self._progress.began(draw)
        try:
            job = _launched(launcher, self._overrides(draw, searched), number=draw.number)
        finally:
            self._lease.remove(draw.trial_id)
            with self._taking:
                self._active -= 1
        verified(
            self._study,
            draw,
            failure=job,
            scoring=self._scoring,
            settings=self._settings,
            stopping=self._stopping,
        )
        self._progress.ended(draw)

    def _overrides(self, draw: Draw, searched: Sequence[str]) -> list[str]:
        settings, folder = self._settings, draw.folder
        watched = []
        if (wandb := self._config.logger.get("wandb")) is not None:
            watched = [f"logger.wandb.name=trial-{draw.number:04d}", "logger.wandb.job_type=trial"]
            watched += [] if wandb.group else [f"logger.wandb.group={quoted(settings.name)}"]
            watched += (
                [f"logger.wandb.tags=[{', '.join(map(quoted, self._tags()))}]"] if not wandb.tags else []
            )
        return [
            *(line for line in self._asked.fixed if not line.startswith("sweep=")),
            *searched,
            *watched,
            f"study.name={quoted(settings.name)}",
            f"study.storage={quoted(self._url)}",
            f"trial.number={draw.number}",
            f"hydra.sweep.dir={quoted(str(folder.parent))}",
            f"hydra.sweep.subdir={quoted(folder.name)}",
            *([f"run.resume={quoted(str(folder))}"] if draw.resumes else []),
        ]

    def _tags(self) -> list[str]:
        return ["sweep", str(self._config.model.name), self._settings.sampler]

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        if self._stopping.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._stopping.set()
        log.warning(
            "%s: the running trials save a checkpoint and stop; the same command goes on. Once more stops at once",
            signal.Signals(number).name,
        )
        stop_children()


def _asked(
    arguments: Sequence[str], *, config: DictConfig, context: HydraContext
) -> tuple[StudySettings, Asked]:
    """Reads the command: an ablation's, whose runs are listed, or a search's."""
    if config.get("ablation") is not None:
        return asked_ablation(arguments, config=config, loader=context.config_loader)
    settings = built_study(config)
    return settings, read_asked(arguments, config=config, loader=context.config_loader, settings=settings)


def _launched(launcher: Launcher, overrides: list[str], *, number: int) -> str | None:
    """Runs a trial; gives why it failed, as far as the launcher knows."""
    try:
        (job,) = launcher.launch([overrides], initial_job_idx=number)
    except (
        Exception,
        SystemExit,
    ) as error:  # a launcher that lost its worker, or a trial in this very process
        return f"{type(error).__name__}: {error}"
    return _failure(job)


def _failure(job: JobReturn | Any) -> str | None:
    if isinstance(job, JobReturn) and job.status == JobStatus.COMPLETED:
        return None
    return str(job._return_value) if isinstance(job, JobReturn) else None
