"""What a study's storage holds, as frozen values that every table and picture is made of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from loralab.errors import UserError
from loralab.study import attrs

FINISHED, INFEASIBLE, PRUNED, FAILED, RUNNING, WAITING = (
    "finished", "infeasible", "pruned", "failed", "running", "waiting",
)  # fmt: skip
WORDS = {
    TrialState.COMPLETE: FINISHED,
    TrialState.PRUNED: PRUNED,
    TrialState.FAIL: FAILED,
    TrialState.RUNNING: RUNNING,
    TrialState.WAITING: WAITING,
}

Curve = tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trial.

    Attributes:
        number: in the order of asking.
        state: one of the six words above; infeasible is what finished or was given up beyond a limit.
        values: in the order of the objectives; None unless the trial finished.
        params: what was searched.
        overrides: what the search set.
        length: the steps whose score counts, where one curve answers for all lengths.
        curve: (step, score) as measured.
        cost: wall_time_s, train_s, overhead_s, peak_memory_gib.
        metrics: all numbers of the run's result, by dotted path.
        excess: {metric: value - limit} of the limits that it is beyond.
        error: why it has no score.
        folder: its run.
        is_recipe: whether it is the documented setting.
        retry_of: number of the failed trial that it repeats.
        answered_by: number of the trial whose curve gave its value; nothing was run.
        pruned_at: the step at which it was given up.
    """

    number: int
    state: str
    values: tuple[float, ...] | None
    params: Mapping[str, Any]
    overrides: tuple[str, ...]
    length: int | None
    curve: Curve
    cost: Mapping[str, float]
    metrics: Mapping[str, float]
    excess: Mapping[str, float]
    error: str
    folder: str | None
    is_recipe: bool
    retry_of: int | None
    answered_by: int | None
    pruned_at: int | None


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A study: what it was told, and its trials.

    Attributes:
        name: its name in the storage.
        settings: what the sweep stored about it.
        objectives: {metric: minimize or maximize}.
        rows: all trials by number.
        log_params: parameters whose scale is logarithmic.
    """

    name: str
    settings: Mapping[str, Any]
    objectives: Mapping[str, str]
    rows: tuple[Row, ...]
    log_params: frozenset[str]

    @property
    def params(self) -> list[str]:
        """All that was searched, in the order of first use."""
        return list(dict.fromkeys(name for row in self.rows for name in row.params))

    @property
    def finished(self) -> list[Row]:
        """The trials that have values and keep the limits."""
        return [row for row in self.rows if row.state == FINISHED]

    @property
    def recipe(self) -> Row | None:
        """The documented setting's trial: the attempt that finished, else the last one."""
        attempts: dict[int | None, Row] = {}
        for row in self.rows:
            if row.is_recipe or row.retry_of in attempts:
                attempts[row.number] = row
        last = next(reversed(attempts.values()), None)
        return next((row for row in attempts.values() if row.state == FINISHED), last)

    @property
    def drawn_in_recipe(self) -> list[str]:
        """What its trial drew all the same, since the documented value lies outside the search."""
        known = self.settings.get("recipe") or {}
        return [name for name in (self.recipe.params if self.recipe else ()) if name not in known]


def recorded(study: Study) -> StudyRecord:
    """Reads a study.

    Raises:
        UserError: for one that no sweep of loralab made.
    """
    settings = study.user_attrs.get(attrs.SETTINGS)
    if not settings:
        raise UserError(
            f"study {study.study_name!r} holds no settings of a sweep; `python train.py -m sweep=...` makes studies"
        )
    trials = study.get_trials(deepcopy=False)
    rows = {trial.number: _row(trial) for trial in trials}
    distributions = {name: each for trial in trials for name, each in trial.distributions.items()}
    return StudyRecord(
        name=study.study_name,
        settings=settings,
        objectives=dict(settings["objectives"]),
        rows=tuple(_with_line(row, rows) for row in rows.values()),
        log_params=frozenset(name for name, each in distributions.items() if _is_log(each)),
    )


def _is_log(distribution: BaseDistribution) -> bool:
    return isinstance(distribution, (FloatDistribution, IntDistribution)) and distribution.log


def _row(trial: FrozenTrial) -> Row:
    known = trial.user_attrs
    excess = {name: value for name, value in trial.constraints.items() if value > 0}
    word = WORDS[trial.state]
    return Row(
        number=trial.number,
        state=INFEASIBLE if excess and word in (FINISHED, PRUNED) else word,
        values=tuple(trial.values) if trial.state == TrialState.COMPLETE else None,
        params=dict(trial.params),
        overrides=tuple(known.get(attrs.OVERRIDES, ())),
        length=known.get(attrs.LENGTH),
        curve=_curve(known.get(attrs.CURVE) or sorted(trial.intermediate_values.items())),
        cost=known.get(attrs.COST, {}),
        metrics=known.get(attrs.METRICS, {}),
        excess=excess,
        error=known.get(attrs.ERROR, ""),
        folder=known.get(attrs.FOLDER),
        is_recipe=known.get(attrs.TAG) == attrs.RECIPE,
        retry_of=known.get(attrs.RETRY_OF),
        answered_by=known.get(attrs.ANSWERED_BY),
        pruned_at=known.get(attrs.PRUNED_AT),
    )


def _with_line(row: Row, rows: Mapping[int, Row]) -> Row:
    """A trial that another one answered for was never launched: its overrides are the other's."""
    source = None if row.answered_by is None else rows.get(row.answered_by)
    return row if row.overrides or source is None else dataclasses.replace(row, overrides=source.overrides)


def _curve(points: Sequence[Sequence[float]]) -> Curve:
    return tuple((int(step), float(score)) for step, score in points if math.isfinite(score))
