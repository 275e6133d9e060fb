"""What became of a trial: read from its folder and its exception, told to the study once.

A run's result.json is the truth: the worker tells it, and whoever finds a dead worker's finished result tells it in its
place. A run out of memory, one that diverged and one past its time limit are infeasible trials, from which the sampler
learns; what failed otherwise is repeated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loralab.study import attrs
from loralab.study.lengths import Lengths
from loralab.study.settings import VALIDATION_LOSS
from loralab.study.storage import trial_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import TrialState

SCORED, PRUNED, INFEASIBLE, FAILED = "scored", "pruned", "infeasible", "failed"
LOST = "lost: its process ended without a word"
INTERRUPTED = "interrupted"
ABANDONED = "abandoned: its sweeper ended before it was launched"
SILENT = "its process ended well, but has left no result.json"
OUT_OF_MEMORY, DIVERGED, TIMEOUT = "memory", "divergence", "time"
"""Constraints that a trial violates by not getting to its end."""
OVERTIME = "overtime"
"""File in a trial's folder: it is being stopped at its time limit. A run cannot know why it is asked to stop."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What to tell a study about a trial.

    Attributes:
        kind: scored, pruned, infeasible or failed.
        metrics: numbers by dotted path.
        curve: validation loss over steps.
        bands: validation loss per noise level at the length that counts.
        length: the length that counts, where the curve answers for all.
        cost: wall_time_s, train_s, overhead_s, peak_memory_gib.
        violated: the constraint that an infeasible trial breaks without a number.
        reason: why there is no score.
        step: where it was pruned.
    """

    kind: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[tuple[int, float], ...] = ()
    bands: Mapping[str, float] = field(default_factory=dict)
    length: int | None = None
    cost: Mapping[str, float] = field(default_factory=dict)
    violated: str | None = None
    reason: str | None = None
    step: int | None = None


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How outcomes become values.

    Attributes:
        objectives: {metric: minimize or maximize}.
        constraints: {metric: upper limit}.
        lengths: which lengths a curve answers for; None takes its end.
    """

    objectives: Mapping[str, str]
    constraints: Mapping[str, float]
    lengths: Lengths | None


def read_outcome(folder: Path, scoring: Scoring) -> Outcome | None:
    """Gives what a run's result.json says; None where the run has left none."""
    result = _read(folder / "result.json")
    status, reason = result.get("status"), result.get("reason")
    if status in (None, "interrupted") and (folder / OVERTIME).is_file():
        return Outcome(kind=INFEASIBLE, violated=TIMEOUT, reason=(folder / OVERTIME).read_text())
    if status == "diverged":
        return Outcome(kind=INFEASIBLE, violated=DIVERGED, reason=reason)
    if status == "interrupted":
        return Outcome(kind=FAILED, reason=INTERRUPTED)
    curve = tuple((int(step), float(loss)) for step, loss in result.get("validation", ()))
    cost = _cost(result)
    if status == "pruned":
        return Outcome(kind=PRUNED, curve=curve, cost=cost, step=int(result["steps"]))
    return _scored(result, curve=curve, cost=cost, scoring=scoring) if status == "finished" else None


def forget_outcome(folder: Path) -> None:
    """Removes what an earlier attempt has left: its word is not the next one's."""
    for name in ("result.json", OVERTIME):
        (folder / name).unlink(missing_ok=True)


def settle(study: Study, number: int, *, outcome: Outcome, scoring: Scoring) -> TrialState:
    """Tells a study what became of a trial, unless it knows already; gives the trial's state."""
    from optuna import Trial
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    frozen = trial_of(study, number)
    if frozen.state.is_finished():
        return frozen.state
    trial = Trial(study, frozen._trial_id)
    values = [outcome.metrics.get(name, math.nan) for name in scoring.objectives]
    kind, reason = outcome.kind, outcome.reason
    if kind == SCORED and not all(map(math.isfinite, values)):
        lacking = [n for n, v in zip(scoring.objectives, values, strict=True) if not math.isfinite(v)]
        kind, reason = FAILED, f"result.json has no finite {', '.join(lacking)}: see study.objectives"
    state = {SCORED: TrialState.COMPLETE, FAILED: TrialState.FAIL}.get(kind, TrialState.PRUNED)
    try:
        _note(trial, outcome, reason=reason)
        for name, excess in _excesses(outcome, scoring.constraints).items():
            if name not in frozen.constraints:  # an earlier try to tell may have got that far
                trial.set_constraint(name, excess)
        return study.tell(number, values if kind == SCORED else None, state, skip_if_finished=True).state
    except UpdateFinishedTrialError:  # somebody else was quicker
        return trial_of(study, number).state


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _scored(
    result: Mapping[str, Any],
    *,
    curve: tuple[tuple[int, float], ...],
    cost: Mapping[str, float],
    scoring: Scoring,
) -> Outcome:
    metrics = {**_flat(result), **cost}
    length, step = None, curve[-1][0] if curve else None
    if curve:
        metrics[VALIDATION_LOSS] = curve[-1][1]
    if scoring.lengths is not None and (best := scoring.lengths.best(curve)) is not None:
        length, metrics[VALIDATION_LOSS] = best
        step = length
    bands = {
        name: float(losses[str(step)])
        for name, losses in result.get("validation_bands", {}).items()
        if str(step) in losses
    }
    return Outcome(kind=SCORED, metrics=metrics, curve=curve, bands=bands, length=length, cost=cost)


def _note(trial: Any, outcome: Outcome, *, reason: str | None) -> None:
    noted = {
        attrs.METRICS: dict(outcome.metrics),
        attrs.CURVE: [list(point) for point in outcome.curve],
        attrs.BANDS: dict(outcome.bands),
        attrs.LENGTH: outcome.length,
        attrs.COST: dict(outcome.cost),
        attrs.ERROR: reason,
        attrs.PRUNED_AT: outcome.step,
    }
    for name, value in noted.items():
        if value is not None and value != {} and value != []:
            trial.set_user_attr(name, value)


def _excesses(outcome: Outcome, limits: Mapping[str, float]) -> dict[str, float]:
    """Gives by how much each limit is exceeded, relative to it; at most 0 where it is kept."""
    found = {
        name: outcome.metrics[name] / limit - 1 if limit else outcome.metrics[name]
        for name, limit in limits.items()
        if name in outcome.metrics
    }
    if outcome.violated is not None:
        found[outcome.violated] = 1.0
    return found


def _cost(result: Mapping[str, Any]) -> dict[str, float]:
    stages: Mapping[str, Mapping[str, float]] = result.get("stages", {})
    if not stages:
        return {}
    return {
        "wall_time_s": sum(stage["wall_time_s"] for stage in stages.values()),
        "train_s": stages.get("train", {}).get("wall_time_s", 0.0),
        "peak_memory_gib": max(stage["peak_memory_gib"] for stage in stages.values()),
    }


def _flat(value: Any, prefix: str = "") -> dict[str, float]:
    """Gives the numbers of nested mappings by dotted path; lists are no scores."""
    if isinstance(value, Mapping):
        return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{prefix}{key}.").items()}
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return {prefix[:-1]: float(value)}
    return {}
