"""Kills everything that a sweep consists of, on every storage, and tabulates what was lost and what was done again.

    python bench/sweep_kills.py --out docs/sweep_kills.md

Needs a PostgreSQL server's programs (Debian: postgresql). The trials' program is tests/sweeper/program.py: the sweep,
its processes and the study are the real ones, the loss is a formula.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.sweeper.postgresql import Server  # noqa: E402
from tests.sweeper.sweeps import Start, Sweep, account, end, history, kill  # noqa: E402

from loralab.study.journal import JournalLock  # noqa: E402

NUM_TRIALS, STEPS, AWAY_S = 6, 100, 5.0
OVERRIDES = (f"study.num_trials={NUM_TRIALS}", f"steps={STEPS}", "run.validate_every=10")
STORAGES = ("sqlite", "journal", "postgresql")
HEAD = f"""# What is lost when a sweep is killed
Nothing. Each row is a study of {NUM_TRIALS} trials (one at a time, TPE, median pruning) that was disturbed while its
third trial trained; where that ended the sweep, the same command was typed again. The table is repeated by
`python bench/sweep_kills.py --out docs/sweep_kills.md` (2 CPU cores).

- *lost*: parameter sets that were drawn and never came to an end;
- *done again*: attempts that a later trial repeats, and the step from which it went on;
- *twice*: trials of which two processes were started; *duplicates*: finished trials with the parameters of another;
- *same*: whether the finished study has the parameters, states, scores and lengths of one that nobody disturbed,
  trial by trial.

| what was killed | storage | typed | finished | lost | done again | twice | duplicates | same |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass
class Place:
    """Where a study is kept: to be disturbed, too."""

    storage: str
    folder: Path
    server: Server | None

    def typed(self) -> str | None:
        """Gives `study.storage` as it is typed."""
        if self.storage == "postgresql" and self.server is not None:
            return self.server.database(self.folder.name)
        return {"sqlite": None, "journal": "journal:///study.log"}[self.storage]


@dataclass(frozen=True)
class Case:
    """What is done to a sweep (the process, its third trial's worker, where the study is), whose steps take so long."""

    what: str
    disturb: Callable[[subprocess.Popen[bytes], Start, Place], None]
    storages: tuple[str, ...] = STORAGES
    overrides: tuple[str, ...] = ()
    step_s: float = 0.02


def main() -> None:
    """Runs all cases and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--storages", nargs="+", default=STORAGES, choices=STORAGES)
    arguments = parser.parse_args()
    server = Server(is_durable=True) if "postgresql" in arguments.storages else None
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = list(_rows(Path(folder), server, storages=arguments.storages))
    finally:
        if server is not None:
            server.remove()
    arguments.out.write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")
    print(f"{len(rows)} ways to kill a sweep: {arguments.out}")


def _rows(scratch: Path, server: Server | None, *, storages: list[str]) -> Iterator[str]:
    reference = Sweep(scratch / "undisturbed", OVERRIDES)
    reference.run()
    for number, case in enumerate(cases()):
        for storage in case.storages:
            if storage in storages:
                place = Place(storage, scratch / f"{number}-{storage}", server)
                row = _row(case, place, expected=history(reference))
                print(row, flush=True)
                yield row


def _row(case: Case, place: Place, *, expected: list[tuple[object, ...]]) -> str:
    sweep = Sweep(
        place.folder, (*OVERRIDES, *case.overrides), place.typed(), wish={"seconds_per_step": case.step_s}
    )
    process, num_typed = sweep.start(), 1
    case.disturb(process, sweep.started(2, beyond=30), place)
    while process.wait(300) != 0:
        if num_typed == 20:
            raise SystemExit(sweep.said())
        process, num_typed = sweep.start(), num_typed + 1
        if case.disturb is often:
            often(process, sweep.starts()[-1], place)
    end(process)
    found, start = account(sweep), {start.number: start.step for start in sweep.starts()}
    again = ", ".join(
        f"trial {first} as {then} from step {start.get(then, 0)}" for first, then in found.repeated
    )
    cells = (
        case.what,
        place.storage,
        f"{num_typed}×",
        f"{found.counted} of {NUM_TRIALS}",
        found.lost,
        again or "none",
    )
    same = "yes" if history(sweep) == expected and not found.running else "NO"
    return f"| {' | '.join(map(str, (*cells, found.twice, found.duplicates, same)))} |"


def cases() -> Iterator[Case]:
    """Yields the ways to disturb a sweep."""
    yield Case("sweeper, SIGKILL; its worker goes on", lambda process, worker, place: kill(process))
    yield Case("sweeper, SIGTERM", lambda process, worker, place: kill(process, signal.SIGTERM))
    yield Case("sweeper, Ctrl-C", lambda process, worker, place: kill(process, signal.SIGINT))
    yield Case("worker, SIGKILL", lambda process, worker, place: os.kill(worker.pid, signal.SIGKILL))
    yield Case("sweeper and worker, SIGKILL", both)
    yield Case("sweeper, SIGKILL, eight times at random instants", often, step_s=0.1)
    for launcher, options in {"joblib": ("hydra.launcher.n_jobs=2",), "submitit_local": ()}.items():
        yield Case(
            f"worker of the launcher {launcher}, SIGKILL",
            lambda process, worker, place: os.kill(worker.pid, signal.SIGKILL),
            overrides=(f"hydra/launcher={launcher}", *options),
        )
    yield Case(f"file locked by somebody else for {AWAY_S:.0f} s", locked, ("sqlite", "journal"))
    yield Case("half a line at the end of the file", torn, ("journal",))
    yield Case("all connections, three times", disconnected, ("postgresql",))
    yield Case(f"server crashed, back after {AWAY_S:.0f} s", crashed, ("postgresql",))


def both(process: subprocess.Popen[bytes], worker: Start, place: Place) -> None:
    """Ends a sweeper and its worker, as a machine does that goes down."""
    kill(process)
    os.kill(worker.pid, signal.SIGKILL)


def often(process: subprocess.Popen[bytes], worker: Start, place: Place) -> None:
    """Ends a sweeper at a random instant of its next seconds; the ninth of them is left alone."""
    marks = place.folder / "kills"
    number = len(marks.read_text()) if marks.is_file() else 0
    if number < 8:
        time.sleep(random.Random(number).uniform(0, 6))
        kill(process)
        marks.write_text("x" * (number + 1))


def locked(process: subprocess.Popen[bytes], worker: Start, place: Place) -> None:
    """Keeps everybody else from writing to the study's file."""
    if place.storage == "journal":
        lock = JournalLock(place.folder / "study.log")
        lock.acquire()
        time.sleep(AWAY_S)
        lock.release()
        return
    connection = sqlite3.connect(
        place.folder / "outputs/studies/s/study.db", timeout=60, isolation_level=None
    )
    connection.execute("BEGIN EXCLUSIVE")
    time.sleep(AWAY_S)
    connection.close()


def torn(process: subprocess.Popen[bytes], worker: Start, place: Place) -> None:
    """Leaves what a writer leaves that is killed in the middle of a line."""
    with (place.folder / "study.log").open("ab") as file:
        file.write(b'{"op_code": 8, "worker_id": "')


def disconnected(process: subprocess.Popen[bytes], worker: Start, place: Place) -> None:
    """Breaks all connections to the database, which may be made again at once."""
    assert place.server is not None
    for _ in range(3):
        place.server.drop_connections(place.folder.name)
        time.sleep(1)


def crashed(process: subprocess.Popen[bytes], worker: Start, place: Place) -> None:
    """Takes the server away, as a machine that goes down does, and brings it back."""
    assert place.server is not None
    place.server.stop()
    time.sleep(AWAY_S)
    place.server.start()


if __name__ == "__main__":
    main()
