"""Sweeps as processes to be killed, and an account of what their study holds in the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
from optuna.storages._cached_storage import _CachedStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from loralab.study import attrs, load
from loralab.study.outcome import ABANDONED

Found = TypeVar("Found")
PROGRAM = Path(__file__).with_name("program.py")
SEARCH = ("optimizer.lr=tag(log,interval(1e-3,1e-2))", "adapter.rank=8,16,32", "safety=off")
STEP_S = 0.005


@dataclass(frozen=True)
class Sweep:
    """A sweep command, typed in a folder any number of times.

    Attributes:
        folder: where it is typed.
        overrides: what is typed.
        storage: the study's, as typed; None for the default.
        wish: what the program's trials shall do.
    """

    folder: Path
    overrides: Sequence[str] = ()
    storage: str | None = None
    wish: dict[str, Any] = field(default_factory=dict)

    def start(self) -> subprocess.Popen[bytes]:
        """Begins a process of it, whose words go to a file."""
        where = [] if self.storage is None else [f"study.storage={self.storage}"]
        command = [sys.executable, str(PROGRAM), "-m", "study.name=s", *SEARCH, *self.overrides, *where]
        env = {**os.environ, "PROGRAM": json.dumps({"seconds_per_step": STEP_S, **self.wish})}
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "said").open("ab") as said:
            return subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=said, stderr=said, start_new_session=True
            )

    def run(self, *, timeout: float = 120) -> str:
        """Runs it to its end; gives all that was said so far."""
        process = self.start()
        try:
            assert process.wait(timeout) == 0, self.said()
        finally:
            end(process)
        return self.said()

    def said(self) -> str:
        """Gives what all its processes have said."""
        return (self.folder / "said").read_text()

    def study(self) -> Study:
        """Opens its study."""
        storage = None if self.storage is None else self.storage.replace(":///", f":///{self.folder}/")
        return load("s", root=self.folder / "outputs" / "studies", storage=storage)

    def trials(self) -> list[FrozenTrial]:
        """Gives the study's trials."""
        return trials_of(self.study())

    def starts(self) -> list[Start]:
        """Gives every start of a worker."""
        files = (self.folder / "outputs" / "studies" / "s" / "trials").glob("*/starts")
        lines = [line.split(" ") for path in files for line in path.read_text().splitlines()]
        return sorted(Start(int(number), int(pid), gpus, int(step)) for number, pid, gpus, step in lines)

    def started(self, number: int, *, beyond: int = 0) -> Start:
        """Waits until a trial's worker trains, and has saved a step beyond one."""

        def found() -> Start | None:
            at = next((start for start in self.starts() if start.number == number), None)
            checkpoint = self.trial_folder(number) / "checkpoint.ckpt"
            is_there = not beyond or (checkpoint.is_file() and int(checkpoint.read_text()) >= beyond)
            return at if is_there else None

        return wait_for(found)

    def trial_folder(self, number: int) -> Path:
        """Gives where a trial's first attempt runs."""
        return self.folder / "outputs" / "studies" / "s" / "trials" / f"{number:04d}"


@dataclass(frozen=True, order=True)
class Start:
    """A worker's start: of which trial, as which process, on which GPUs, from which step on."""

    number: int
    pid: int
    gpus: str
    step: int


@dataclass(frozen=True)
class Account:
    """What a study holds.

    Attributes:
        counted: trials that have a score, or were pruned.
        lost: failed ones whose parameters no later trial has brought to an end.
        repeated: failed ones that a later trial repeats, as (first, repeat).
        duplicates: counted trials whose parameters another counted one has.
        twice: trials that were started more than once.
        running: trials that nobody has told.
    """

    counted: int
    lost: int
    repeated: tuple[tuple[int, int], ...]
    duplicates: int
    twice: int
    running: int


def account(sweep: Sweep) -> Account:
    """Takes stock of a study."""
    trials = [t for t in sweep.trials() if t.user_attrs.get(attrs.ERROR) != ABANDONED]
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    counted = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    points = [repr(sorted(trial.params.items())) for trial in counted]
    numbers = [start.number for start in sweep.starts()]
    return Account(
        counted=len(counted),
        lost=sum(repr(sorted(trial.params.items())) not in points for trial in failed),
        repeated=tuple(
            (t.user_attrs[attrs.RETRY_OF], t.number) for t in trials if attrs.RETRY_OF in t.user_attrs
        ),
        duplicates=len(points) - len(set(points)),
        twice=len(numbers) - len(set(numbers)),
        running=sum(not trial.state.is_finished() for trial in trials),
    )


def history(sweep: Sweep) -> list[tuple[Any, ...]]:
    """Gives what an undisturbed study and one that was killed must share: all but the attempts that were lost."""
    return [
        (trial.params, trial.state, trial.value, trial.user_attrs.get(attrs.LENGTH))
        for trial in sweep.trials()
        if trial.state != TrialState.FAIL
    ]


def trials_of(study: Study) -> list[FrozenTrial]:
    """Reads a study's trials, and gives the connections back that it took for them."""
    trials = study.trials
    if isinstance(study._storage, _CachedStorage):
        study._storage._backend.engine.dispose()
    return trials


def wait_for(condition: Callable[[], Found | None], *, seconds: float = 60) -> Found:
    """Waits until there is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise TimeoutError(f"nothing in {seconds} s")


def kill(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    """Sends a signal to a process alone, and waits for its end."""
    process.send_signal(number)
    process.wait(60)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and all that it has started."""
    if process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.wait()
