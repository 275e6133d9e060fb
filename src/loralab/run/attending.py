"""A pack as a process that is told what to train: JSON, line by line, on its standard input and output.

    in    {"width": 8, "rank": 64, "targets": ["attention"]}      first of all
          {"root": "...", "overrides": ["..."], "config": "..."}  a trial; config is YAML
          {"stop": "..."}                                         ends the trial of this folder at its next step
    out   {"root": "...", "failure": null, "is_broken": false}    a trial has ended; is_broken: and the pack with it
          {"root": "...", "failure": "...", "is_broken": true, "has_begun": false}    the pack could not be opened

The end of the input lets the process end after its last trial; SIGTERM lets all trials save and end at their next step.
"""

from __future__ import annotations

import json
import logging
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from loralab.run.pack import Job, Pack

log = logging.getLogger("loralab")
Say = Callable[[dict[str, Any]], None]


def attend(lines: Iterable[str], say: Say) -> None:
    """Trains what the lines tell, from the calling thread, which must be the process's first; answers by `say`."""
    told = iter(lines)
    bounds = json.loads(next(told))
    messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(told, messages), daemon=True).start()
    first = messages.get()
    if first is None:
        return
    try:
        pack = Pack(_config(first), **bounds)
    except Exception as error:
        log.exception("the pack cannot be opened")
        for message in _with(first, messages):
            if "root" in message:
                failure = {"failure": _named(error), "is_broken": True, "has_begun": False}
                say({"root": message["root"], **failure})
        return
    stopping = _Stopping(pack)
    threading.Thread(target=_work_off, args=(pack, _with(first, messages), say), daemon=True).start()
    try:
        pack.serve()
    finally:
        stopping.give_back()
    log.info("passes by the number of trials in them: %s", pack.num_passes)


class _Stopping:
    """Turns the first signal into a stop of all trials; a second one ends the process at once."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._previous = {n: signal.signal(n, self._handle) for n in (signal.SIGINT, signal.SIGTERM)}

    def give_back(self) -> None:
        """Gives the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.give_back()
        log.warning("%s: all trials save a checkpoint and stop", signal.Signals(number).name)
        self._pack.stop()


def _work_off(pack: Pack, messages: Iterator[dict[str, Any]], say: Say) -> None:
    """Gives every trial a thread; closes the pack when all have ended and no other will come."""
    threads = []
    for message in messages:
        if "stop" in message:
            pack.stop(Path(message["stop"]))
            continue
        job = Job(config=_config(message), root=Path(message["root"]), overrides=message["overrides"])
        threads.append(threading.Thread(target=partial(_worked, pack, job, say)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    pack.close()


def _worked(pack: Pack, job: Job, say: Say) -> None:
    failure = None
    try:
        pack.work(job)
    except (Exception, SystemExit) as error:
        failure = _named(error)
        log.warning("%s ended: %s", job.root, failure)
    say({"root": str(job.root), "failure": failure, "is_broken": pack.failure is not None})


def _read(lines: Iterator[str], messages: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    for line in lines:
        messages.put(json.loads(line))
    messages.put(None)


def _with(
    first: dict[str, Any], messages: queue.SimpleQueue[dict[str, Any] | None]
) -> Iterator[dict[str, Any]]:
    yield first
    while (message := messages.get()) is not None:
        yield message


def _config(message: dict[str, Any]) -> DictConfig:
    config = OmegaConf.create(message["config"])
    assert isinstance(config, DictConfig)
    return config


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
