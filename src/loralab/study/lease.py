"""Signs of life: who works on a trial, seen last when. A trial whose owner is gone can be taken up by anyone.

A process of this machine that has ended is known to be gone at once; one of another machine when its last sign is older
than the lease. Optuna's own heartbeat knows databases only, and not the ask-and-tell way.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from loralab.study import attrs

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)


Sign = tuple[float, str, int, float]
"""Time, host, process number and when the process began (numbers are given out again)."""


def sign_of_life() -> Sign:
    """Gives this process's sign."""
    import psutil

    return time.time(), socket.gethostname(), os.getpid(), psutil.Process().create_time()


def is_alive(trial: FrozenTrial, *, lease_s: float) -> bool:
    """Says whether somebody works on a running trial: the worker's word counts once there is one."""
    worker = _last_sign(trial, attrs.WORKER)
    if worker is not None and worker[1] == socket.gethostname():
        return _is_running(worker)  # whatever its last sign's age: the storage may have been away
    sign = worker or _last_sign(trial, attrs.SWEEPER)
    if sign is None:
        started = trial.datetime_start
        return started is not None and time.time() - started.timestamp() < lease_s
    return _is_running(sign) and time.time() - sign[0] < lease_s


def is_watched(trial: FrozenTrial, *, lease_s: float) -> bool:
    """Says whether a trial of this machine has a living launcher on it, which sees the trial's end and knows more."""
    launcher, worker = _last_sign(trial, attrs.SWEEPER), _last_sign(trial, attrs.WORKER)
    is_local = all(sign is None or sign[1] == socket.gethostname() for sign in (launcher, worker))
    return is_local and launcher is not None and _is_running(launcher) and time.time() - launcher[0] < lease_s


def is_orphan(trial: FrozenTrial) -> bool:
    """Says whether the process that launched a trial has ended on this machine (its worker may go on)."""
    sign = _last_sign(trial, attrs.SWEEPER)
    return sign is not None and sign[1] == socket.gethostname() and not _is_running(sign)


def _last_sign(trial: FrozenTrial, key: str) -> Sign | None:
    if key not in trial.user_attrs:
        return None
    when, host, pid, began = trial.user_attrs[key]
    return when, host, pid, began


def _is_running(sign: Sign) -> bool:
    import psutil

    _, host, pid, began = sign
    if host != socket.gethostname():
        return True
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - began) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Lease:
    """Gives signs of life for some trials from a thread, three in each lease."""

    def __init__(
        self, storage: BaseStorage, *, key: str, lease_s: float, lost: Callable[[int], None] | None = None
    ) -> None:
        """Starts with no trial; `lost` is told the id of a trial that somebody else has ended."""
        self._storage, self._key, self._lost = storage, key, lost
        self._every = lease_s / 3
        self._ids: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"lease-{key}")

    def start(self) -> None:
        """Begins to give signs."""
        self._thread.start()

    def add(self, trial_id: int) -> None:
        """Gives the first sign for a trial and keeps on."""
        self._beat(trial_id)
        self._ids.add(trial_id)

    def remove(self, trial_id: int) -> None:
        """Gives no more signs for a trial."""
        self._ids.discard(trial_id)

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            for trial_id in tuple(self._ids):
                self._beat(trial_id)

    def _beat(self, trial_id: int) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            self._storage.set_trial_user_attr(trial_id, self._key, sign_of_life())
        except UpdateFinishedTrialError:
            self.remove(trial_id)
            if self._lost is not None:
                self._lost(trial_id)
        except Exception as error:  # busy, or away for a moment: the next sign is a third of a lease away
            log.debug("no sign of life could be left: %s", error)
