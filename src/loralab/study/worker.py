"""The run's side of a trial: gives signs of life, reports the score while training, and tells what came of it.

The process that trains speaks to the storage itself, so that a finished result survives whoever launched it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from loralab.errors import UserError
from loralab.study import attrs
from loralab.study.lease import Lease
from loralab.study.outcome import (
    FAILED,
    INFEASIBLE,
    INTERRUPTED,
    LOST,
    OUT_OF_MEMORY,
    Outcome,
    Scoring,
    read_outcome,
    settle,
)
from loralab.study.samplers import build_pruner
from loralab.study.settings import StudySettings
from loralab.study.storage import PATIENCE_S, load, persistently, storage_url, trial_of

if TYPE_CHECKING:
    from optuna import Study, Trial

log = logging.getLogger(__name__)


class Worker:
    """A running trial, seen from the process that trains it."""

    def __init__(
        self, study: Study, number: int, *, settings: StudySettings, stop: Callable[[], None] | None = None
    ) -> None:
        """Takes up a trial that its sweeper has created; `stop` ends it when the study has given it up."""
        from optuna import Trial

        self._stop = stop or _stop_myself
        self._study, self._number, self._settings = study, number, settings
        self._scoring = persistently(lambda: scoring_of(study, settings))
        self._frozen = persistently(lambda: trial_of(study, number))
        self._trial: Trial = persistently(lambda: Trial(study, self._frozen._trial_id))
        self._reported: set[int] = set(self._frozen.intermediate_values)
        self._sign = -1.0 if "maximize" in settings.targets.values() else 1.0
        self._prunes = settings.prunes

    @property
    def number(self) -> int:
        """The trial's number."""
        return self._number

    @property
    def parameters(self) -> dict[str, object]:
        """What the search set."""
        return dict(self._frozen.params)

    def report(self, step: int, loss: float) -> bool:
        """Tells the validation loss at a step; gives whether the trial is worth no more steps.

        Where the study's objective is to be large, so must be what its pruner compares: the loss with its sign turned.
        """
        if not self._prunes or step in self._reported:
            return False
        self._reported.add(step)
        return self._is_on_record(step, self._sign * loss) and bool(persistently(self._trial.should_prune))

    @contextlib.contextmanager
    def at_work(self, folder: Path) -> Iterator[None]:
        """Gives signs of life during the block, then tells what became of the trial in `folder`."""
        settings = self._settings
        lease = Lease(
            self._study._storage, key=attrs.WORKER, lease_s=settings.lease_s, lost=lambda _: self._stop()
        )
        lease.add(self._frozen._trial_id)
        lease.start()
        try:
            yield
        except BaseException as error:  # an interrupted trial is told of too, or it would count as running
            self._tell(read_outcome(folder, self._scoring) or _of_exception(error))
            raise
        else:
            self._tell(read_outcome(folder, self._scoring))
        finally:
            lease.stop()

    def _tell(self, outcome: Outcome | None) -> None:
        found = outcome or Outcome(kind=FAILED, reason="the run left no result.json")
        started = self._frozen.datetime_start
        if found.cost and started is not None:
            elapsed = time.time() - started.timestamp()
            overhead = {"overhead_s": round(elapsed - found.cost["wall_time_s"], 3)}
            found = _with_cost(found, {**found.cost, **overhead})
        state = persistently(lambda: settle(self._study, self._number, outcome=found, scoring=self._scoring))
        log.info("trial %d of study %s: %s", self._number, self._settings.name, state.name.lower())

    def _is_on_record(self, step: int, score: float) -> bool:
        """Reports; says whether the study still wants to know."""
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            persistently(lambda: self._trial.report(float(score), step))
        except UpdateFinishedTrialError:  # the next sign of life would say so, too
            self._stop()
            return False
        return True


def scoring_of(study: Study, settings: StudySettings) -> Scoring:
    """Gives how a study's outcomes become values."""
    from loralab.study.lengths import Lengths

    lengths = Lengths.from_dict(study.user_attrs.get(attrs.SETTINGS, {}).get("lengths"))
    return Scoring(objectives=settings.targets, constraints=dict(settings.constraints or {}), lengths=lengths)


def attach(
    number: int, settings: StudySettings, *, num_steps: int, stop: Callable[[], None] | None = None
) -> Worker | None:
    """Takes up a trial of so many steps; None where the study has its result, so that its line can be run again.

    `stop` ends a run that the study has given up; by default the process is asked to.

    Raises:
        UserError: where there is no such study, or the study has given the trial up and repeats it.
    """
    url = storage_url(settings.storage, folder=settings.folder)
    study = load(settings.name, storage=url, patience_s=PATIENCE_S)
    study.pruner = build_pruner(settings.pruner, settings.pruner_options, num_steps=num_steps)
    try:
        trial = persistently(lambda: trial_of(study, number))
    except KeyError:
        raise UserError(f"trial.number={number}: study.name={settings.name} has no such trial") from None
    if trial.user_attrs.get(attrs.ERROR) == LOST:
        raise UserError(
            f"trial.number={number} showed no sign of life in time, so that study.name={settings.name} repeats it; "
            "type trial.number=null to run the line for itself"
        )
    if trial.state.is_finished():
        log.info("trial %d of study %s is finished: this run is one for itself", number, settings.name)
        return None
    return Worker(study, number, settings=settings, stop=stop)


def _of_exception(error: BaseException) -> Outcome:
    text = f"{type(error).__name__}: {error}"
    if "out of memory" in text.lower() or isinstance(error, MemoryError):
        return Outcome(kind=INFEASIBLE, violated=OUT_OF_MEMORY, reason=text[:500])
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return Outcome(kind=FAILED, reason=INTERRUPTED)
    return Outcome(kind=FAILED, reason=text[:2000])


def _with_cost(outcome: Outcome, cost: dict[str, float]) -> Outcome:
    import dataclasses

    return dataclasses.replace(outcome, cost=cost, metrics={**outcome.metrics, **cost})


def _stop_myself() -> None:
    """Ends a run whose trial somebody else has ended: with a checkpoint, so that a repeat can go on."""
    log.warning("this trial was given up by the study (no sign of life in time); stopping at the next step")
    os.kill(os.getpid(), signal.SIGTERM)
