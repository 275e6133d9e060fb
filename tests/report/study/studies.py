"""Studies as sweeps leave them in a storage, filled by hand: a bowl over learning rate and rank, with accidents."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna import Study, Trial
from optuna.trial import TrialState

from loralab.study import attrs

STEPS = tuple(range(0, 121, 20))
FIXED = ("model=nano_klein", "dataset.trigger='my word'")


def empty_study(
    name: str = "bowl",
    *,
    storage: str | optuna.storages.BaseStorage | None = None,
    objectives: Mapping[str, str] | None = None,
    **settings: Any,
) -> Study:
    """Makes a study with the settings of a sweep and no trial."""
    objectives = objectives or {"validation_loss": "minimize"}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name=name, storage=storage, directions=list(objectives.values()))
    known = {
        "name": name, "model": "nano_klein", "objectives": dict(objectives), "constraints": {},
        "sampler": "tpe", "pruner": "median", "design": "search", "num_trials": 24, "overrides": list(FIXED),
        "space": {"optimizer.lr": "tag(log, interval(1e-4, 1e-1))", "adapter.rank": "choice(4,8,16,32)"},
        "lengths": {"key": "steps", "low": 40, "high": 120, "listed": []},
        "recipe": {"optimizer.lr": 3e-3, "adapter.rank": 16, "optimizer": "adamw", "steps": 120},
        "safety": "strict", "widened": [],
    }  # fmt: skip
    study.set_user_attr(attrs.SETTINGS, {**known, **settings})
    return study


def asked(study: Study, *, lr: float, rank: int, optimizer: str = "adamw", **known: Any) -> Trial:
    """Asks for a trial with these parameters and notes what a sweep notes at its start."""
    study.enqueue_trial({"optimizer.lr": lr, "adapter.rank": rank, "optimizer": optimizer})
    trial = study.ask()
    trial.suggest_float("optimizer.lr", 1e-4, 1e-1, log=True)
    trial.suggest_int("adapter.rank", 4, 32)
    trial.suggest_categorical("optimizer", ["adamw", "prodigy"])
    overrides = [f"optimizer.lr={lr}", f"adapter.rank={rank}", f"optimizer={optimizer}", "steps=120"]
    noted = {attrs.OVERRIDES: overrides, attrs.FOLDER: f"trials/{trial.number:04d}", **known}
    for key, value in noted.items():
        trial.set_user_attr(key, value)
    return trial


def finish(
    study: Study, trial: Trial, values: Sequence[float], *, length: int | None = 120, seconds: float = 30.0
) -> None:
    """Finishes a trial whose curve falls to its first value at `length` and rises a little after it."""
    best = length or 120
    curve = [[step, values[0] * (1 + abs(best - step) / 120)] for step in STEPS]
    cost = {"wall_time_s": seconds, "train_s": seconds - 6, "overhead_s": 5.0, "peak_memory_gib": 1.5}
    noted = {
        attrs.CURVE: curve, attrs.LENGTH: length, attrs.COST: cost,
        attrs.METRICS: {"validation_loss": values[0], "style.pixel.adapter": 0.1 + values[0], **cost},
    }  # fmt: skip
    for key, value in noted.items():
        trial.set_user_attr(key, value)
    study.tell(trial.number, list(values))


def fail(study: Study, trial: Trial, error: str) -> None:
    """Fails a trial."""
    trial.set_user_attr(attrs.ERROR, error)
    study.tell(trial.number, state=TrialState.FAIL)


def prune(study: Study, trial: Trial, *, step: int) -> None:
    """Prunes a trial at a step."""
    trial.set_user_attr(attrs.CURVE, [[each, 0.9 - each / 1000] for each in STEPS if each <= step])
    trial.set_user_attr(attrs.COST, {"wall_time_s": 12.0, "train_s": 6.0, "overhead_s": 5.0})
    trial.set_user_attr(attrs.PRUNED_AT, step)
    study.tell(trial.number, state=TrialState.PRUNED)


def loss(lr: float, rank: int) -> float:
    """The bowl: least at a learning rate of 1e-2, and a little less at higher ranks."""
    return 0.2 + 0.1 * (math.log10(lr) + 2) ** 2 + 0.2 / rank


def filled_study(num_trials: int = 24, **settings: Any) -> Study:
    """Makes a whole study: the recipe, draws, pruned and failed ones, one out of memory, a retry, an answer."""
    study, source = empty_study(**settings), random.Random(0)
    recipe = asked(study, lr=3e-3, rank=16, **{attrs.TAG: attrs.RECIPE})
    finish(study, recipe, [loss(3e-3, 16)], length=100)
    for _ in range(num_trials - 8):
        lr, rank = 10 ** source.uniform(-4, -1), source.choice((4, 8, 16, 32))
        trial = asked(study, lr=lr, rank=rank, optimizer=source.choice(("adamw", "prodigy")))
        finish(
            study,
            trial,
            [loss(lr, rank)],
            length=source.choice((80, 100, 120)),
            seconds=source.uniform(20, 40),
        )
    for step in (40, 60):
        prune(study, asked(study, lr=2e-4, rank=4), step=step)
    trial = asked(study, lr=9e-2, rank=32, **{attrs.ERROR: "OutOfMemoryError: CUDA out of memory"})
    trial.set_constraint("memory", 1.0)
    study.tell(trial.number, state=TrialState.PRUNED)
    fail(study, asked(study, lr=1e-3, rank=4), "FileNotFoundError: photos/\n  see above")
    fail(study, asked(study, lr=1e-3, rank=8), "FileNotFoundError: photos/\n  see below")
    fail(study, asked(study, lr=5e-3, rank=8), "lost: its process ended without a word")
    lost = study.trials[-1].number
    finish(study, asked(study, lr=5e-3, rank=8, **{attrs.RETRY_OF: lost, attrs.RETRIES: 1}), [loss(5e-3, 8)])
    same = asked(study, lr=3e-3, rank=16, **{attrs.ANSWERED_BY: 0, attrs.OVERRIDES: []})
    same.set_user_attr(attrs.LENGTH, 100)
    study.tell(same.number, [loss(3e-3, 16)])
    return study


def two_objectives() -> Study:
    """Makes a study of quality against memory: 4 points of 12 are its front."""
    study = empty_study(objectives={"style.share": "maximize", "peak_memory_gib": "minimize"}, lengths=None)
    for index in range(12):
        trial = asked(study, lr=1e-3 * (index + 1), rank=8)
        share, memory = (0.5 + 0.1 * index, 2.0 + index) if index < 4 else (0.4, 3.0 + index)
        finish(study, trial, [share, memory], length=None)
    return study
