"""SQLite, a journal file and a PostgreSQL server: a study survives its writers, and a server that restarts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState
from tests.sweeper import drawer
from tests.sweeper.postgresql import Server
from tests.sweeper.sweeps import Sweep, account, kill, trials_of, wait_for

from loralab.study import attrs
from loralab.study.outcome import ABANDONED

EIGHT = ("study.num_trials=8", "study.num_workers=4", "steps=60", "study.pruner=none")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("storage", "num_trials"),
    [("sqlite", 12), ("journal", 16), pytest.param("postgresql", 12, marks=pytest.mark.slow)],
)
def test_drawing_that_is_killed_at_any_instant_goes_on_as_if_it_had_not_been(
    tmp_path: Path, request: pytest.FixtureRequest, storage: str, num_trials: int
) -> None:
    whole, parts = (url(storage, tmp_path / name, request) for name in ("whole", "parts"))

    drawn(whole, "keep", folder=tmp_path, num_trials=num_trials)
    num_kills = drawn(parts, "kill", folder=tmp_path, num_trials=num_trials)

    expected, found = (trials_of(drawer.opened(where)) for where in (whole, parts))
    kept = [trial for trial in found if trial.state == TrialState.COMPLETE]
    failed = [trial for trial in found if trial.state == TrialState.FAIL]
    lost = {trial.number for trial in failed if trial.user_attrs[attrs.ERROR] != ABANDONED}
    assert num_kills >= 2
    assert len(kept) + len(failed) == len(found)
    assert [trial.params for trial in kept] == [trial.params for trial in expected]
    assert lost <= {trial.user_attrs.get(attrs.RETRY_OF) for trial in found}


def test_a_journals_half_line_is_cut_off_and_a_dead_writers_lock_is_free(tmp_path: Path) -> None:
    where = f"journal:///{tmp_path / 'study.log'}"
    before = drawer.opened(where)
    before.set_user_attr("first", 1)
    with (tmp_path / "study.log").open("ab") as file:
        file.write(b'{"op_code": 2, "worker')
    command = [sys.executable, "-c", HOLD, str(tmp_path / "study.log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()

    start = time.monotonic()
    before.set_user_attr("second", 2)

    assert time.monotonic() - start < 5
    assert drawer.opened(where).user_attrs == {"first": 1, "second": 2}


def test_several_processes_may_open_a_new_database_at_once(tmp_path: Path, server: Server) -> None:
    where = server.database(tmp_path.name)
    code = "import sys; from loralab.study import open_storage; open_storage(sys.argv[1])"

    processes = [subprocess.Popen([sys.executable, "-c", code, where]) for _ in range(3)]

    assert [process.wait(60) for process in processes] == [0, 0, 0]


@pytest.mark.slow
def test_eight_workers_of_two_sweepers_on_a_server_with_several_killed_make_one_study(
    tmp_path: Path, server: Server
) -> None:
    sweep = Sweep(tmp_path, EIGHT, server.database(tmp_path.name), wish={"seconds_per_step": 0.03})

    first, second = sweep.start(), sweep.start()
    victims = wait_for(lambda: sweep.starts()[-2:] if len(sweep.starts()) >= 6 else None)
    for victim in victims:
        os.kill(victim.pid, signal.SIGKILL)
    kill(first)
    code = second.wait(120)

    found = account(sweep)
    assert code == 0, sweep.said()
    assert (found.counted, found.lost, found.duplicates, found.running) == (8, 0, 0, 0)
    assert {victim.number for victim in victims} <= {number for number, _ in found.repeated}
    assert found.twice == 0


@pytest.mark.slow
def test_a_sweep_goes_on_when_its_server_has_crashed_and_is_there_again(
    tmp_path: Path, server: Server
) -> None:
    overrides = ("study.num_trials=2", "study.num_workers=2", "steps=60")
    sweep = Sweep(tmp_path, overrides, server.database(tmp_path.name), wish={"seconds_per_step": 0.02})

    process = sweep.start()
    sweep.started(1)
    server.stop()
    time.sleep(2)
    server.start()
    code = process.wait(120)

    found = account(sweep)
    assert code == 0, sweep.said()
    assert "does not answer, trying again" in (sweep.trial_folder(0) / "console.log").read_text()
    assert (found.counted, found.repeated, found.twice, found.running) == (2, (), 0, 0)


HOLD = """
import sys, time
from pathlib import Path
from loralab.study.journal import JournalLock
JournalLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(60)
"""


def url(storage: str, file: Path, request: pytest.FixtureRequest) -> str:
    """Gives an empty storage of a kind."""
    if storage == "postgresql":
        server: Server = request.getfixturevalue("server")
        return server.database(f"{file.parent.name}-{file.name}")
    return f"{storage}:///{file}"


def drawn(where: str, what: str, *, folder: Path, num_trials: int) -> int:
    """Draws a study to its end by processes that are killed, or not; gives how many were."""
    command = [sys.executable, drawer.__file__, where, str(num_trials), what]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    return int(done.stdout)
