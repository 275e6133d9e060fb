"""Cases of a bench side by side: each a process, made ready together, timed one after another.

None holds the others up: one that dies, or is not ready in time, counts as arrived and gets a row that says so.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from loralab.files import atomic_write  # noqa: E402  found through the line above

MEASURING_S = 120.0
"""How long a wave that is ready may take to be timed."""
LAST_CHARACTERS = 1200
OUT_OF_TIME = "not measured: out of time"
THREADS = ("OMP_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS")
"""By default each process has as many as there are cores; those of a wave share them."""
Row = dict[str, Any]
CaseT = TypeVar("CaseT")


class _Child:
    """The process of one case; what it says goes to a file, which cannot fill up as a pipe does."""

    def __init__(self, one: Row, *, place: int, folder: Path, program: Sequence[str], num_cores: int) -> None:
        self.one, self._console, self._ready = one, folder / f"{place}.log", folder / "ready"
        self._read = 0
        env = {**os.environ, **dict.fromkeys(THREADS, str(num_cores))}
        with self._console.open("wb") as console:
            self.process = subprocess.Popen(
                [sys.executable, *program],
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=env,
            )

    @property
    def is_ready(self) -> bool:
        return (self._ready / str(self.process.pid)).exists()

    def news(self) -> Iterator[str]:
        """Yields the progress (`timing.say`) that it has reported since the last call."""
        with self._console.open(errors="replace") as console:
            console.seek(self._read)
            said = console.read()
        whole = said[: said.rfind("\n") + 1]
        self._read += len(whole.encode())
        yield from (line for line in whole.splitlines() if line.startswith("["))

    def arrive(self) -> None:
        """Lets nobody wait for it."""
        (self._ready / str(self.process.pid)).touch()

    def kill(self) -> None:
        """Ends it, and what compiles for it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def row(self, failure: str | None = None) -> Row:
        """Gives what it has measured, or why there is nothing."""
        said = self._console.read_text(errors="replace")
        found = [line[4:] for line in said.splitlines() if line.startswith("ROW ")]
        if found:
            return {**json.loads(found[-1]), "width": self.one["width"]}
        own, last = self.one["case"], said[-LAST_CHARACTERS:].strip()
        if failure is None:
            failure = f"its process ended with {self.process.returncode} and left no row\n{last}"
        elif failure != OUT_OF_TIME:
            failure = f"{last}\n{failure}"
        return {**vars(own), "label": own.label, "width": self.one["width"], "failed": failure.strip()}


def waves(
    cases: Sequence[CaseT], *, most: int, guess_gib: Callable[[CaseT], float], limit_gib: float
) -> list[list[CaseT]]:
    """Puts cases into waves, in their order: at most so many, and no more than are guessed to fit on the card."""
    found: list[list[CaseT]] = [[]]
    for one in cases:
        is_full = len(found[-1]) == most or sum(map(guess_gib, (*found[-1], one))) > limit_gib
        if found[-1] and is_full:
            found.append([])
        found[-1].append(one)
    return found


def keep(rows: Sequence[Row], path: Path, *, fields: Sequence[str]) -> None:
    """Writes rows into a file, in place of older ones of the same fields; a failure replaces no measurement."""
    known: dict[tuple[Any, ...], Row] = {}
    before: list[Row] = json.loads(path.read_text()) if path.is_file() else []
    for row in (*before, *rows):
        key = tuple(row.get(name) for name in fields)
        if "failed" not in row or "failed" in known.get(key, row):
            known[key] = row
    atomic_write(path, json.dumps([*known.values()], indent=1) + "\n")


@functools.cache
def card() -> str | None:
    """Names the card as torch does, without a context of our own on it."""
    try:
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return (
            subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()
        )
    except (OSError, subprocess.CalledProcessError, IndexError):
        return None


def run_waves(
    found: Sequence[Sequence[Row]],
    programs: Callable[[Sequence[Row]], Sequence[Sequence[str]]],
    *,
    limit_s: float,
    end: float,
) -> Iterator[Row]:
    """Yields the row of each case, with the card, wave by wave, and says how far it is; none is begun after the end.

    Args:
        found: the waves.
        programs: gives what to start for each case of a wave.
        limit_s: as for `run_wave`.
        end: as for `run_wave`.
    """
    began = time.monotonic()
    for number, wave in enumerate(found, 1):
        if time.monotonic() > end:
            print(f"out of time: {len(found) - number + 1} of {len(found)} waves were not begun", flush=True)
            return
        names = ", ".join(_name(one) for one in wave)
        print(f"{time.monotonic() - began:.0f} s: wave {number} of {len(found)}: {names}", flush=True)
        for row in run_wave(wave, programs(wave), limit_s=limit_s, end=end):
            yield {"device": card(), **row}


def run_wave(
    wave: Sequence[Row], programs: Sequence[Sequence[str]], *, limit_s: float, end: float
) -> Iterator[Row]:
    """Yields the row of each case as soon as it is there.

    Args:
        wave: cases, with the width of their pack.
        programs: what to start for each; the folder in which they meet and their number are added.
        limit_s: how long a case may take until it is ready to be timed.
        end: when, on the monotonic clock, what runs is killed.
    """
    folder = Path(tempfile.mkdtemp())
    (folder / "ready").mkdir()
    shared = [str(folder / "ready"), str(len(wave))]
    num_cores = max(1, len(os.sched_getaffinity(0)) // len(wave))
    running = [
        _Child(one, place=place, folder=folder, program=[*program, *shared], num_cores=num_cores)
        for place, (one, program) in enumerate(zip(wave, programs, strict=True))
    ]
    started, ready_at = time.monotonic(), None
    try:
        while running:
            now = time.monotonic()
            if ready_at is None and all(child.is_ready for child in running):
                ready_at = now
            for child in list(running):
                for line in child.news():
                    print(f"{_name(child.one)}: {line}", flush=True)
                failure = None
                if child.process.poll() is None:
                    failure = _overdue(
                        child, now=now, started=started, ready_at=ready_at, limits=(limit_s, end)
                    )
                    if failure is None:
                        continue
                    child.kill()
                child.arrive()
                running.remove(child)
                yield child.row(failure)
            time.sleep(0.1)
    finally:
        for child in running:
            child.kill()


def _name(one: Row) -> str:
    return str(one.get("name", one["case"].label))


def _overdue(
    child: _Child, *, now: float, started: float, ready_at: float | None, limits: tuple[float, float]
) -> str | None:
    """Says why a case must end; None where it may go on."""
    limit_s, end = limits
    if now > end:
        return OUT_OF_TIME
    if not child.is_ready and now > started + limit_s:
        return f"not ready after {limit_s:.0f} s"
    if ready_at is not None and now > ready_at + MEASURING_S:
        return f"ready, and not timed {MEASURING_S:.0f} s later"
    return None
