"""Runs every job as a process of its own: `python train.py <its overrides>`, with a console log in its folder.

A fresh process means a fresh GPU context, and a run that is killed takes nothing along; and since the command is a
plain single run, DDP may start its further processes from it. What happened is told by the study and by the folder, so
that only the exit code is read here.
"""

from __future__ import annotations

import itertools
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from loralab.config import quoted
from loralab.errors import UserError
from loralab.files import atomic_write
from loralab.study.outcome import OVERTIME

log = logging.getLogger("loralab")
OWN = ("hydra.mode", "hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweep.", "hydra.run.dir")
"""Overrides that are the sweep's and not its jobs'."""
GRACE_S = 120.0
"""How long a job that was asked to stop may take to finish its step and save."""
TAIL = 1500
_running: set[subprocess.Popen[bytes]] = set()
_starting, _resolving = threading.Lock(), threading.Lock()
_stopped = threading.Event()


class TimeoutReachedError(RuntimeError):
    """A job took longer than hydra.launcher.timeout_s."""


def stop_children(number: int = signal.SIGTERM) -> None:
    """Sends a signal to all jobs, with the processes that they have started; no other job starts."""
    _stopped.set()
    with _starting:
        for process in tuple(_running):
            _signal_group(process, number)


def begun(command: Sequence[str], **settings: Any) -> subprocess.Popen[bytes] | None:
    """Starts a process that `stop_children` reaches; None once it was called."""
    with _starting:
        if _stopped.is_set():
            return None
        process: subprocess.Popen[bytes] = subprocess.Popen(command, process_group=0, **settings)
        _running.add(process)
        return process


def ended(process: subprocess.Popen[bytes]) -> None:
    """Forgets a process that has ended."""
    _running.discard(process)


class Processes:
    """Launches jobs as processes, each on a place of its own."""

    def __init__(
        self,
        config: DictConfig,
        *,
        context: HydraContext,
        gpus: Sequence[int] | None = None,
        gpus_per_trial: int = 1,
        timeout_s: float | None = None,
        env: Mapping[str, Any] | None = None,
    ) -> None:
        """Shares the GPUs out.

        Args:
            config: what Hydra has composed for the sweep.
            context: Hydra's.
            gpus: numbers of the GPUs to use; None leaves the choice to the environment.
            gpus_per_trial: how many a job sees.
            timeout_s: how long a job may take.
            env: what the jobs' environment has beside this process's.

        Raises:
            UserError: for fewer GPUs than jobs at a time need.
        """
        _stopped.clear()
        self._config, self._context, self._timeout_s = config, context, timeout_s
        num_places = config.study.num_workers
        self._env = {**_threads(num_places), **{key: str(value) for key, value in (env or {}).items()}}
        self._places: queue.Queue[str | None] = queue.Queue()
        if gpus is not None and len(gpus) < num_places * gpus_per_trial:
            raise UserError(
                f"hydra.launcher.gpus={list(gpus)} are too few for study.num_workers={num_places} with "
                f"hydra.launcher.gpus_per_trial={gpus_per_trial}; name more, or lower study.num_workers"
            )
        for index in range(num_places):
            own = None if gpus is None else gpus[index * gpus_per_trial : (index + 1) * gpus_per_trial]
            self._places.put(None if own is None else ",".join(map(str, own)))
        self._num_places = num_places

    def launch(self, jobs: Sequence[Sequence[str]], *, first: int) -> list[JobReturn]:
        """Runs jobs and gives how each ended, in their order."""
        with ThreadPoolExecutor(self._num_places) as pool:
            return list(pool.map(self._run, jobs, itertools.count(first)))

    def _run(self, overrides: Sequence[str], number: int) -> JobReturn:
        folder = self.folder(overrides, number)
        folder.mkdir(parents=True, exist_ok=True)
        place = self._places.get()
        job = JobReturn(overrides=list(overrides), working_dir=str(folder), status=JobStatus.FAILED)
        try:
            code = self._waited(self._command(overrides, folder), folder=folder, place=place)
        except TimeoutReachedError as error:
            job.return_value = error
            return job
        finally:
            self._places.put(place)
        if code == 0:
            job.status, job.return_value = JobStatus.COMPLETED, None
        else:
            job.return_value = RuntimeError(f"{ending(code)}; {_tail(folder / 'console.log')}")
        return job

    def _waited(self, command: list[str], *, folder: Path, place: str | None) -> int:
        """Runs a command to its end; past the time limit it is asked to stop, then made to."""
        env = {**os.environ, **self._env, **({} if place is None else {"CUDA_VISIBLE_DEVICES": place})}
        with (folder / "console.log").open("ab") as console, _starting:
            if _stopped.is_set():
                return -signal.SIGTERM
            process = subprocess.Popen(
                command, env=env, stdout=console, stderr=subprocess.STDOUT, process_group=0
            )
            _running.add(process)
        try:
            return process.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            reason = f"it took longer than hydra.launcher.timeout_s={self._timeout_s}"
            atomic_write(folder / OVERTIME, reason)
            _end(process)
            raise TimeoutReachedError(reason) from None
        finally:
            _running.discard(process)

    def _command(self, overrides: Sequence[str], folder: Path) -> list[str]:
        spec = sys.modules["__main__"].__spec__
        program = [os.path.abspath(sys.argv[0])] if spec is None else ["-m", spec.name]
        flags, _ = get_args_parser().parse_known_args()
        for name in ("config_path", "config_name", "config_dir"):
            if (value := vars(flags)[name]) is not None:
                program += [f"--{name.replace('_', '-')}", value]
        hydra = OmegaConf.to_container(self._config.hydra.overrides.hydra)
        assert isinstance(hydra, list)
        kept = [o for o in (*hydra, *overrides) if not o.lstrip("+~").startswith(OWN)]
        return [sys.executable, *program, *kept, "hydra.mode=RUN", f"hydra.run.dir={quoted(str(folder))}"]

    def folder(self, overrides: Sequence[str], number: int) -> Path:
        """Gives where a job runs."""
        config = self._context.config_loader.load_sweep_config(self._config, list(overrides))
        with open_dict(config):
            config.hydra.job.num, config.hydra.job.id = number, str(number)
        with _resolving:  # names of folders resolve against Hydra's one current configuration
            HydraConfig.instance().set_config(config)
            return Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)).absolute()


def _threads(num_places: int) -> dict[str, str]:
    """Shares the cores out: two processes that each take all of them wait for each other at every product."""
    if "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // num_places))}


def _end(process: subprocess.Popen[bytes]) -> None:
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        os.killpg(process.pid, number)


def ending(code: int) -> str:
    """Says how a process ended."""
    if code >= 0:
        return f"its process ended with exit status {code}"
    return f"its process was ended by {signal.Signals(-code).name}"


def _tail(path: Path) -> str:
    text = path.read_bytes()[-TAIL:].decode(errors="replace").strip()
    return f"the end of {path}:\n{text}" if text else f"{path} is empty"
