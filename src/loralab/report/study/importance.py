"""Which parameters decide whether a trial is among the best: PED-ANOVA with a bootstrap over the finished trials.

PED-ANOVA (Watanabe, Bansal and Hutter 2023) compares how a parameter is distributed among the best trials and among
all, as a Pearson divergence; shares sum to 1. Optuna's advice is at least five trials among the best, so the best are
a tenth of all or five. With few trials the shares wander: the interval says how far when other trials are drawn.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

FEWEST = 10
"""Below this, five trials are half of all: there are no best ones to tell from the rest."""
NUM_BEST = 5
SHARE_OF_BEST = 0.1
LARGEST_SAMPLE = 400
"""Trials in a resample; of a longer study it is a part, which makes intervals too wide and not too narrow."""


@dataclass(frozen=True)
class Share:
    """A parameter's part of the importance and the ends of its 95 % interval."""

    name: str
    value: float
    low: float
    high: float


def shares(study: optuna.Study, *, num_resamples: int = 200, seed: int = 0) -> list[Share]:
    """Gives the importance of every parameter, largest first; nothing where there are too few trials.

    Args:
        study: with any number of objectives; with several, the best trials are those near the Pareto front.
        num_resamples: sets of trials drawn with replacement; a long study makes do with half of them.
        seed: of the drawing.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(trials) < FEWEST:
        return []
    count = num_resamples if len(trials) <= 300 else num_resamples // 2
    with _quiet():
        found = _importance(study, num_trials=len(trials))
        drawn = [
            _importance(each, num_trials=len(each.trials)) for each in _resampled(study, trials, count, seed)
        ]
    return [
        Share(name, value, *_interval([each.get(name, 0.0) for each in drawn]))
        for name, value in found.items()
    ]


def _importance(study: optuna.Study, *, num_trials: int) -> dict[str, float]:
    quantile = min(max(SHARE_OF_BEST, NUM_BEST / num_trials), 0.5)
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile))


def _resampled(
    study: optuna.Study, trials: list[FrozenTrial], count: int, seed: int
) -> Iterator[optuna.Study]:
    source = np.random.default_rng(seed)
    for _ in range(count):
        chosen = source.integers(len(trials), size=min(len(trials), LARGEST_SAMPLE))
        copy = optuna.create_study(directions=study.directions)
        copy.add_trials([_bare(trials[index]) for index in chosen])
        yield copy


def _bare(trial: FrozenTrial) -> FrozenTrial:
    """Gives a trial without its attributes, which may be large and are copied each time."""
    return optuna.create_trial(params=trial.params, distributions=trial.distributions, values=trial.values)


def _interval(values: list[float]) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Optuna from announcing every resample, and its doubts about parameters that few trials have."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
