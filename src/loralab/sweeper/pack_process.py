"""The sweep's end of a pack's process (`loralab.run.attending`): tells it trials, and waits for their ends."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

from loralab.study.outcome import LOST
from loralab.sweeper.launcher import GRACE_S, begun, ended, ending

log = logging.getLogger("loralab")
Answer = dict[str, Any]


class PackProcess:
    """A process that trains packed trials; if it dies, every trial in it has failed."""

    def __init__(self, bounds: Mapping[str, Any], *, path: Path, env: Mapping[str, str]) -> None:
        """Starts it; what it logs goes to `path`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self.is_closed = False
        self._ends: dict[str, Future[Answer]] = {}
        self._lock = threading.Lock()
        with path.open("ab") as console:
            self._process = begun(
                [sys.executable, "-m", "loralab", "packed", "-"],
                env={**os.environ, **env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=console,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        if self._process is not None:
            self._reader.start()
            self.tell(dict(bounds))

    def is_alive(self) -> bool:
        """Says whether it can be told trials."""
        return self._process is not None and self._process.poll() is None

    def tell(self, message: Mapping[str, Any]) -> None:
        """Sends a line; one that comes too late is lost, which the trial's end says."""
        assert self._process is not None and self._process.stdin is not None
        with self._lock:
            try:
                self._process.stdin.write(json.dumps(message).encode() + b"\n")
                self._process.stdin.flush()
            except OSError:
                return

    def ask(self, trial: Mapping[str, Any], *, timeout_s: float | None) -> Answer | None:
        """Sends a trial and gives its end; None where it takes longer."""
        if self._process is None:
            return {"failure": "the sweep is stopping"}
        self._ends[trial["root"]] = Future()
        self.tell(trial)
        if not self._reader.is_alive():
            self._fail_all()
        return self.wait(trial, timeout_s=timeout_s)

    def wait(self, trial: Mapping[str, Any], *, timeout_s: float | None) -> Answer | None:
        """Gives the end of a trial; None where it takes longer."""
        try:
            return self._ends[trial["root"]].result(timeout_s)
        except FutureTimeoutError:
            return None

    def close(self) -> None:
        """Lets it end, which it does after its last trial."""
        if self._process is not None and self._process.stdin is not None:
            self.is_closed = True
            with self._lock, contextlib.suppress(OSError):
                self._process.stdin.close()
            try:
                self._process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            ended(self._process)

    def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            if (waiting := self._ends.get(str(answer["root"]))) is not None:
                waiting.set_result(answer)
        self._process.wait()
        ended(self._process)
        if not all(waiting.done() for waiting in self._ends.values()):
            self._fail_all()

    def _fail_all(self) -> None:
        assert self._process is not None
        log.warning("the pack: %s; %s says more", ending(self._process.returncode or 0), self._path)
        for waiting in list(self._ends.values()):
            if not waiting.done():
                waiting.set_result({"failure": LOST})  # a fault of the process, not of the trials in it
