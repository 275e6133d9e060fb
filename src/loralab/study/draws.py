"""What comes next in a study, decided under its lock: a repeat of what was lost, the next point of the plan, or a draw.

Nothing is queued: every decision is read off the trials that there are. So a sweep that was killed, and two that begin
at the same instant, go on where the study stands.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loralab.errors import UserError
from loralab.study import attrs, history
from loralab.study.lease import is_alive, is_orphan, is_watched, sign_of_life
from loralab.study.outcome import (
    ABANDONED,
    FAILED,
    LOST,
    Outcome,
    Scoring,
    forget_outcome,
    read_outcome,
    settle,
)
from loralab.study.samplers import build_sampler
from loralab.study.settings import StudySettings
from loralab.study.space import Point, Space
from loralab.study.storage import exclusive, has_lock, persistently

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What a study is to try.

    Attributes:
        space: what is drawn.
        points: what comes before anything is drawn.
        recipe: the documented setting; its trial is tagged.
        searches: whether to draw when all points are done.
        max_hours: of running, over all trials, at which nothing more is begun; None is no limit.
    """

    space: Space
    points: Sequence[Point]
    recipe: Mapping[str, Any]
    searches: bool
    max_hours: float | None = None


@dataclass(frozen=True)
class Draw:
    """A trial to run.

    Attributes:
        number: the trial's.
        trial_id: the storage's own name for it.
        point: its parameters.
        folder: where it runs.
        resumes: whether the folder holds a checkpoint of a lost attempt to go on from.
    """

    number: int
    trial_id: int
    point: Point
    folder: Path
    resumes: bool


class Draws:
    """Hands out the trials of a study, to any number of sweepers."""

    def __init__(
        self, study: Study, *, settings: StudySettings, url: str, plan: Plan, scoring: Scoring
    ) -> None:
        """Begins from what the study has; `url` says where its lock is."""
        self._study, self._settings, self._url = study, settings, url
        self._plan, self._scoring = plan, scoring

    def next(self) -> Draw | None:
        """Gives the next trial to run; None when the study needs no more for now.

        Raises:
            UserError: when more trials have failed than the study allows.
        """
        from optuna.exceptions import UpdateFinishedTrialError

        while True:
            try:
                found = persistently(self._decide)
            except (
                UpdateFinishedTrialError
            ):  # the lock was lost, and another process has ended the half-made trial
                continue
            if not isinstance(found, int):
                return found
            log.info("trial %d has the parameters of a finished one: answered without a run", found)

    def is_done(self) -> bool:
        """Says whether nobody runs anything: what is running may yet be lost, and to be repeated."""
        return not persistently(lambda: history.running(self._trials()))

    def num_orphans(self) -> int:
        """Counts trials that go on although their launcher on this machine has ended: they hold a place."""
        lease_s = self._settings.lease_s
        running = persistently(lambda: history.running(self._trials()))
        return sum(is_orphan(trial) and is_alive(trial, lease_s=lease_s) for trial in running)

    def _decide(self) -> Draw | int | None:
        with exclusive(self._url) as require_lock:
            trials = self._reaped()
            self._stop_at_failures(trials)
            if self._plan.max_hours is not None and history.num_hours(trials) >= self._plan.max_hours:
                return None
            create = partial(self._created, trials, require_lock=require_lock)
            lost = history.to_repeat(trials, max_retries=self._settings.max_retries)
            if lost is not None:
                return create(fixed=lost.params, noted=history.repeat_attrs(lost))
            point = history.first_untried(self._plan.points, trials)
            if point is not None:
                tag = {attrs.TAG: attrs.RECIPE} if point == self._plan.recipe else {}
                return create(fixed=point, noted=tag)
            if self._plan.searches and history.num_counted(trials) < self._settings.num_trials:
                return create(fixed={}, noted={})
            return None

    def _created(
        self,
        trials: Sequence[FrozenTrial],
        *,
        fixed: Mapping[str, Any],
        noted: Mapping[str, Any],
        require_lock: Callable[[], None],
    ) -> Draw | int:
        """Makes a trial; gives its number alone where a finished one answers for it."""
        self._study.sampler = self._sampler(history.draw_index(trials), fixed=fixed)
        trial = self._study.ask()
        trial.set_user_attr(attrs.SWEEPER, sign_of_life())
        for name, value in noted.items():
            if name != attrs.FOLDER:  # last of all: what has none was not drawn to its end
                trial.set_user_attr(name, value)
        point = self._plan.space.suggest(trial)
        try:
            require_lock()
        except Exception:  # somebody else may have drawn at the same time
            persistently(lambda: self._abandon(trial.number))
            raise
        if (same := history.scored_alike(trials, point)) is not None:
            self._answer(trial.number, same=same)
            return trial.number
        folder = Path(noted.get(attrs.FOLDER, self._folder(trial.number)))
        forget_outcome(folder)
        trial.set_user_attr(attrs.FOLDER, str(folder))
        resumes = attrs.RETRY_OF in noted and (folder / "checkpoint.ckpt").is_file()
        return Draw(trial.number, trial._trial_id, point, folder, resumes)

    def _sampler(self, index: int, *, fixed: Mapping[str, Any]) -> BaseSampler:
        from optuna.samplers import PartialFixedSampler

        settings = self._settings
        sampler = build_sampler(
            settings.sampler,
            settings.sampler_options,
            seed=settings.seed,
            number=index,
            is_conditional=bool(self._plan.space.branches),
        )
        return PartialFixedSampler(dict(fixed), sampler) if fixed else sampler

    def _reaped(self) -> list[FrozenTrial]:
        """Gives all trials, having ended those whose owners are gone, by what their folders say."""
        trials, lease_s = self._trials(), self._settings.lease_s
        num_ended = 0
        for trial in history.running(trials):
            folder = trial.user_attrs.get(attrs.FOLDER)
            # trials are made under the lock, which is held here: whoever made this one has ended
            is_half_made = folder is None and has_lock(self._url)
            is_cared_for = is_alive(trial, lease_s=lease_s) or is_watched(trial, lease_s=lease_s)
            if is_cared_for and not is_half_made:
                continue
            num_ended += 1
            if folder is None:
                self._abandon(trial.number)
                continue
            found = read_outcome(Path(folder), self._scoring) or Outcome(kind=FAILED, reason=LOST)
            state = settle(self._study, trial.number, outcome=found, scoring=self._scoring)
            log.warning("trial %d was left alone; it counts as %s", trial.number, state.name)
        return self._trials() if num_ended else trials

    def _abandon(self, number: int) -> None:
        """Ends a trial that was never launched, as if it had not been drawn."""
        outcome = Outcome(kind=FAILED, reason=ABANDONED)
        settle(self._study, number, outcome=outcome, scoring=self._scoring)
        log.info("trial %d was not launched: it is drawn again", number)

    def _answer(self, number: int, *, same: FrozenTrial) -> None:
        from optuna import Trial

        trial = Trial(self._study, self._trials()[number]._trial_id)
        trial.set_user_attr(attrs.ANSWERED_BY, same.number)
        for key in (attrs.METRICS, attrs.CURVE, attrs.BANDS, attrs.LENGTH, attrs.FOLDER):
            if key in same.user_attrs:
                trial.set_user_attr(key, same.user_attrs[key])
        for name, excess in same.constraints.items():
            trial.set_constraint(name, excess)
        self._study.tell(number, same.values)

    def _stop_at_failures(self, trials: Sequence[FrozenTrial]) -> None:
        failed = history.failures(trials)
        if len(failed) > self._settings.max_failures:
            last = failed[-1].user_attrs.get(attrs.ERROR, "no reason given")
            raise UserError(
                f"{len(failed)} trials of study {self._settings.name} have failed (study.max_failures="
                f"{self._settings.max_failures}); the last, trial {failed[-1].number}: {last}"
            )

    def _folder(self, number: int) -> Path:
        return self._settings.folder.absolute() / "trials" / f"{number:04d}"

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)
