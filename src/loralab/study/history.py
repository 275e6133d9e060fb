"""What the trials of a study say about what comes next: pure functions over all of them, in order of number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from loralab.study import attrs
from loralab.study.outcome import ABANDONED, INTERRUPTED, LOST

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

Trials = Sequence["FrozenTrial"]


def running(trials: Trials) -> list[FrozenTrial]:
    """Gives the trials that somebody runs, or was running when he ended."""
    from optuna.trial import TrialState

    return [trial for trial in trials if trial.state == TrialState.RUNNING]


def is_failed(trial: FrozenTrial) -> bool:
    """Says whether a trial ended without anything to learn from."""
    return trial.state.name == "FAIL"  # asked of every trial at every draw: an import would take longest


def is_abandoned(trial: FrozenTrial) -> bool:
    """Says whether a trial was created by a sweeper that ended before it could be launched."""
    return trial.user_attrs.get(attrs.ERROR) == ABANDONED


def num_counted(trials: Trials) -> int:
    """Counts what the budget pays for: everything that did not fail."""
    return sum(not is_failed(trial) for trial in trials)


def num_hours(trials: Trials) -> float:
    """Gives how long all trials that have ended ran, together."""
    durations = [trial.duration for trial in trials if trial.duration is not None]
    return sum(each.total_seconds() for each in durations) / 3600


def draw_index(trials: Trials) -> int:
    """Gives the place of the next draw, by which it is seeded: repeats do not move it.

    So a study that lost a trial and repeated it draws on as one that lost none.
    """
    return sum(attrs.RETRY_OF not in t.user_attrs and not is_abandoned(t) for t in trials)


def failures(trials: Trials) -> list[FrozenTrial]:
    """Gives the failed trials that say something is wrong: not those that were stopped, or lost with their sweeper."""
    harmless = (INTERRUPTED, ABANDONED, LOST)
    return [t for t in trials if is_failed(t) and t.user_attrs.get(attrs.ERROR) not in harmless]


def to_repeat(trials: Trials, *, max_retries: int) -> FrozenTrial | None:
    """Gives the first failed trial that has attempts left and is not repeated yet."""
    repeated = {t.user_attrs.get(attrs.RETRY_OF) for t in trials if not is_abandoned(t)}
    return next(
        (
            trial
            for trial in trials
            if is_failed(trial)
            and not is_abandoned(trial)
            and trial.number not in repeated
            and trial.user_attrs.get(attrs.RETRIES, 0) < max_retries
        ),
        None,
    )


def repeat_attrs(lost: FrozenTrial) -> dict[str, Any]:
    """Gives what the repeat of a trial starts with; being asked to stop costs no attempt."""
    was_stopped = lost.user_attrs.get(attrs.ERROR) == INTERRUPTED
    tries = lost.user_attrs.get(attrs.RETRIES, 0) + (0 if was_stopped else 1)
    kept = {key: lost.user_attrs[key] for key in (attrs.TAG, attrs.FOLDER) if key in lost.user_attrs}
    return {attrs.RETRY_OF: lost.number, attrs.RETRIES: tries, **kept}


def scored_alike(trials: Trials, params: Mapping[str, Any]) -> FrozenTrial | None:
    """Gives a scored trial of the same parameters: the same seed and data would give the same again."""
    from optuna.trial import TrialState

    return next((t for t in trials if t.state == TrialState.COMPLETE and t.params == params), None)


def first_untried(plan: Sequence[Mapping[str, Any]], trials: Trials) -> Mapping[str, Any] | None:
    """Gives the first point of a plan that no trial has; a trial may set more than the point does."""
    tried = [trial.params for trial in trials if trial.params and not is_abandoned(trial)]
    if not plan:
        return None
    known = {_key(params) for params in tried}
    for point in plan:
        if _key(point) not in known and not any(point.items() <= params.items() for params in tried):
            return point
    return None


def _key(point: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset(zip(point, map(repr, point.values()), strict=True))
