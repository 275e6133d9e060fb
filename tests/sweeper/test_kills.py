"""Whatever of a sweep is killed, the same command goes on: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from tests.sweeper.sweeps import Sweep, account, history, kill

from loralab.study import attrs

TWO = ("study.num_trials=2", "study.recipe_first=false", "steps=60")
SLOW = {"seconds_per_step": 0.04}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """The study that all must become in the end."""
    sweep = Sweep(tmp_path_factory.mktemp("undisturbed"), TWO)
    sweep.run()
    return sweep


@pytest.mark.slow
def test_a_worker_outlives_its_sweeper_and_the_next_one_waits_for_it(
    tmp_path: Path, undisturbed: Sweep
) -> None:
    sweep = Sweep(tmp_path, TWO, wish=SLOW)
    process = sweep.start()
    worker = sweep.started(0)

    kill(process)
    replace(sweep, wish={}).run()

    found = account(sweep)
    assert (found.counted, found.repeated, found.twice, found.running) == (2, (), 0, 0)
    assert [start.pid for start in sweep.starts() if start.number == 0] == [worker.pid]
    assert history(sweep) == history(undisturbed)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_repeated_from_its_checkpoint_in_its_folder(
    tmp_path: Path, undisturbed: Sweep
) -> None:
    sweep = Sweep(tmp_path, TWO, wish={"die_in": [0]})

    sweep.run()

    found = account(sweep)
    first, again = sweep.trials()[:2]
    assert (found.counted, found.lost, found.repeated, found.running) == (2, 0, ((0, 1),), 0)
    assert again.user_attrs[attrs.FOLDER] == first.user_attrs[attrs.FOLDER]
    assert [start.step for start in sweep.starts() if start.number in (0, 1)] == [0, 10]
    assert "ended by SIGKILL" in first.user_attrs[attrs.ERROR]
    assert history(sweep) == history(undisturbed)


@pytest.mark.slow
def test_sweeper_and_worker_that_die_together_leave_a_trial_that_is_repeated(
    tmp_path: Path, undisturbed: Sweep
) -> None:
    sweep = Sweep(tmp_path, TWO, wish=SLOW)
    process = sweep.start()
    worker = sweep.started(0, beyond=20)

    kill(process)
    os.kill(worker.pid, signal.SIGKILL)
    replace(sweep, wish={}).run()

    found = account(sweep)
    assert (found.counted, found.lost, found.repeated, found.running) == (2, 0, ((0, 1),), 0)
    assert next(start.step for start in sweep.starts() if start.number == 1) >= 20
    assert history(sweep) == history(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_sweep_that_is_asked_to_stop_lets_its_workers_save_and_goes_on(
    tmp_path: Path, undisturbed: Sweep, number: int
) -> None:
    sweep = Sweep(tmp_path, TWO, wish=SLOW)
    process = sweep.start()
    sweep.started(0, beyond=20)

    kill(process, number)
    stopped = account(sweep)
    replace(sweep, wish={}).run()

    found = account(sweep)
    first, again = sweep.trials()[:2]
    assert (process.returncode, stopped.running) == (130, 0)
    assert (found.counted, found.lost, found.repeated, found.running) == (2, 0, ((0, 1),), 0)
    assert (first.user_attrs[attrs.ERROR], again.user_attrs[attrs.RETRIES]) == ("interrupted", 0)
    assert next(start.step for start in sweep.starts() if start.number == 1) >= 20
    assert history(sweep) == history(undisturbed)


@pytest.mark.slow
def test_two_sweepers_that_start_at_the_same_instant_make_one_study(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, ("study.num_trials=4", "steps=60"))

    processes = [sweep.start(), sweep.start()]
    codes = [process.wait(120) for process in processes]

    found = account(sweep)
    numbers = [trial.number for trial in sweep.trials()]
    assert codes == [0, 0], sweep.said()
    assert (found.counted, found.duplicates, found.twice, found.running) == (4, 0, 0, 0)
    assert numbers == list(range(4))
