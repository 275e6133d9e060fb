"""Makes sure that a trial's end was told: by its worker, by its folder, or by what the launcher says."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from loralab.study import (
    Draw,
    Outcome,
    Scoring,
    StudySettings,
    attrs,
    persistently,
    read_outcome,
    settle,
    trial_of,
)
from loralab.study.lease import is_alive
from loralab.study.outcome import FAILED, INFEASIBLE, INTERRUPTED, OUT_OF_MEMORY, SILENT, TIMEOUT

if TYPE_CHECKING:
    from optuna import Study

LIMIT = "hydra.launcher.timeout_s"


def verified(
    study: Study,
    draw: Draw,
    *,
    failure: str | None,
    scoring: Scoring,
    settings: StudySettings,
    stopping: threading.Event,
) -> None:
    """Tells what became of a trial unless it was told.

    A launcher that lost its worker gives back all that it ran, also what goes on: while there are signs of life, the
    worker's own word is waited for.
    """
    while failure is not None and persistently(lambda: _goes_on(study, draw, settings)):
        time.sleep(1.0)
    found = read_outcome(draw.folder, scoring) or _outcome_of(failure, is_stopping=stopping.is_set())
    persistently(lambda: settle(study, draw.number, outcome=found, scoring=scoring))


def _goes_on(study: Study, draw: Draw, settings: StudySettings) -> bool:
    trial = trial_of(study, draw.number)
    has_worker = not trial.state.is_finished() and attrs.WORKER in trial.user_attrs
    return has_worker and is_alive(trial, lease_s=settings.lease_s)


def _outcome_of(failure: str | None, *, is_stopping: bool) -> Outcome:
    if failure is None:
        return Outcome(kind=FAILED, reason=SILENT)
    if LIMIT in failure:
        return Outcome(kind=INFEASIBLE, violated=TIMEOUT, reason=failure)
    if "out of memory" in failure.lower():
        return Outcome(kind=INFEASIBLE, violated=OUT_OF_MEMORY, reason=failure)
    return Outcome(kind=FAILED, reason=INTERRUPTED if is_stopping else failure)
