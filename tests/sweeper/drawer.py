"""Draws and scores all trials of a study as fast as it can, by processes that are killed in the middle of it.

    python tests/sweeper/drawer.py <storage> <number of trials> <kill or keep>

Prints how many processes were killed. They are forks, so that none spends its life on imports.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import optuna
from optuna.distributions import FloatDistribution
from optuna.study import Study, create_study

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from loralab.study import (
    Draws,
    Outcome,
    Plan,
    Scoring,
    Space,
    StudySettings,
    open_storage,
    settle,
)

SCORING = Scoring(objectives={"validation_loss": "minimize"}, constraints={}, lengths=None)
SPACE = Space({"x": FloatDistribution(-5.0, 5.0), "y": FloatDistribution(-5.0, 5.0)})
RECIPE = {"x": 1.0, "y": 2.0}


def main() -> None:
    """Forks and kills until one process has come to the end."""
    url, num_trials, is_killed = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "kill"
    instants, kills = random.Random(0), 0
    import_what_draws()
    while True:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            draw_to_the_end(url, num_trials=num_trials, pipe=writing)
            os._exit(0)
        os.close(writing)
        if is_killed and (seconds := os.read(reading, 20)):
            time.sleep(instants.uniform(0, float(seconds)))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(reading)
        if status != signal.SIGKILL:
            print(kills)
            sys.exit(os.waitstatus_to_exitcode(status))
        kills += 1


def import_what_draws() -> None:
    """Draws in memory until everything is imported that a drawing process needs."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    create_study().optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=12)


def opened(url: str) -> Study:
    """Gives the study that is drawn."""
    return create_study(study_name="s", storage=open_storage(url), load_if_exists=True)


def draw_to_the_end(url: str, *, num_trials: int, pipe: int) -> None:
    """Draws and scores until the study has its trials, however often one is lost; says what the first one took."""
    settings = StudySettings(name="s", storage=url, num_trials=num_trials, max_retries=1000)
    plan = Plan(space=SPACE, points=[RECIPE], recipe=RECIPE, searches=True)
    study = opened(url)
    draws = Draws(study, settings=settings, url=url, plan=plan, scoring=SCORING)
    start, num_scored = time.monotonic(), 0
    while True:
        is_idle, draw = draws.is_done(), draws.next()
        if draw is not None:
            loss = draw.point["x"] ** 2 + draw.point["y"] ** 2
            outcome = Outcome(kind="scored", metrics={"validation_loss": loss})
            settle(study, draw.number, outcome=outcome, scoring=SCORING)
            if not num_scored:
                os.write(pipe, f"{time.monotonic() - start:.4f}".encode())
            num_scored += 1
        elif is_idle:
            return
        else:
            time.sleep(0.05)


if __name__ == "__main__":
    main()
