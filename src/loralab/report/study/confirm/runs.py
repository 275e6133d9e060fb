"""Runs of train.py, each a process of its own in its own folder; what is finished is not run again.

A run's folder is locked while its process lives, also when whoever started it is gone: the lock belongs to an open file
that the process inherits. So two of these commands, or one that was killed and started again, never train the same run
at the same time.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from loralab.errors import UserError, joined

log = logging.getLogger("loralab")
POLL_S = 0.1
GRACE_S = 120.0
"""How long a run that was asked to stop may take to finish its step and save."""
TAIL = 1500
DONE = ("finished", "diverged")


@dataclass(frozen=True)
class Run:
    """A line of train.py with a seed and a folder.

    Attributes:
        title: in messages.
        folder: where it runs.
        program: what is executed.
        overrides: of the run itself, as its overrides.yaml will have them.
        placing: the override that says where it runs.
        resuming: the override that takes up its checkpoint.
    """

    title: str
    folder: Path
    program: tuple[str, ...]
    overrides: tuple[str, ...]
    placing: str
    resuming: str

    @property
    def status(self) -> str | None:
        """What the run's result.json says; None where there is none."""
        try:
            result = json.loads((self.folder / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return str(result.get("status"))

    @property
    def command(self) -> list[str]:
        """The whole command, which goes on from the run's checkpoint where there is one."""
        has_checkpoint = (self.folder / "checkpoint.ckpt").is_file()
        return [*self.program, *self.overrides, self.placing, *([self.resuming] if has_checkpoint else [])]


def require_same(runs: Sequence[Run]) -> None:
    """Refuses folders that hold runs of other lines.

    Raises:
        UserError: naming them.
    """
    problems = []
    for run in runs:
        file = run.folder / "overrides.yaml"
        there = [str(each) for each in yaml.safe_load(file.read_text()) or []] if file.is_file() else None
        if there is not None and sorted(there) != sorted(run.overrides):
            other = " ".join(sorted(set(there) ^ set(run.overrides)))
            problems.append(f"{run.folder} holds a run of another line (they differ in {other})")
    if problems:
        raise UserError(f"{joined(problems)}\nGive folder=<another name>, or remove what is there")


def run_all(runs: Sequence[Run], *, num_workers: int, gpus: Sequence[int] = ()) -> list[str]:
    """Runs what is not finished, up to `num_workers` at a time; gives a message for each run that came to nothing.

    Whatever ends this function early asks the runs to stop; they save a checkpoint, and the next call goes on.

    Args:
        runs: in the order of starting.
        num_workers: runs at a time, which share the cores.
        gpus: each run sees one of them, the least used; without any the environment decides.
    """
    waiting = [run for run in runs if run.status not in DONE]
    running: dict[subprocess.Popen[bytes], tuple[Run, int | None]] = {}
    failures = []
    log.info("%d runs, %d of them finished before", len(runs), len(runs) - len(waiting))
    try:
        while waiting or running:
            for run in list(waiting) if len(running) < num_workers else ():
                gpu = _least_used(gpus, taken=[gpu for _, gpu in running.values()])
                if run.status in DONE:  # by another process
                    waiting.remove(run)
                elif len(running) < num_workers and (
                    process := _started(run, _environment(num_workers, gpu))
                ):
                    waiting.remove(run)
                    running[process] = (run, gpu)
            for process in [process for process in running if process.poll() is not None]:
                run, _ = running.pop(process)
                failures += _ended(run, process.returncode, num_left=len(waiting) + len(running))
            time.sleep(POLL_S)
    finally:
        _stop(list(running))
    return failures


def _started(run: Run, environment: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
    """Starts a run; None where its folder is locked by a process that still works on it."""
    run.folder.mkdir(parents=True, exist_ok=True)
    with (run.folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        with (run.folder / "console.log").open("ab") as console:
            return subprocess.Popen(
                run.command, stdout=console, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                pass_fds=(lock.fileno(),), process_group=0, env=environment,
            )  # fmt: skip


def _environment(num_workers: int, gpu: int | None) -> dict[str, str]:
    """Runs side by side share the cores, unless somebody has said otherwise."""
    share = max((os.cpu_count() or 1) // num_workers, 1)
    threads = {"OMP_NUM_THREADS": str(share)} if num_workers > 1 else {}
    return {**threads, **os.environ, **({} if gpu is None else {"CUDA_VISIBLE_DEVICES": str(gpu)})}


def _least_used(gpus: Sequence[int], *, taken: Sequence[int | None]) -> int | None:
    return min(gpus, key=lambda gpu: taken.count(gpu), default=None)


def _ended(run: Run, code: int, *, num_left: int) -> list[str]:
    if run.status in DONE:
        log.info("%s: %s, %d to go", run.title, run.status, num_left)
        return []
    console = run.folder / "console.log"
    tail = console.read_bytes()[-TAIL:].decode(errors="replace").strip()
    log.warning("%s: failed with exit status %d, see %s", run.title, code, console)
    return [f"{run.title} failed with exit status {code}; the end of {console}:\n{tail}"]


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    for process in processes:
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
