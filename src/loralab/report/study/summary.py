"""A study in figures: who is best, what mattered, what failed, what it cost; for the screen, a file and W&B alike."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from optuna import Study

from loralab.report.study.cost import Cost, cost_of
from loralab.report.study.failures import Failure, Retries, counts, failures, limits_broken, retries
from loralab.report.study.importance import Share, shares
from loralab.report.study.lines import command, documented_length, overrides_of
from loralab.report.study.ranking import best_rows, place
from loralab.report.study.record import Row, StudyRecord, recorded


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What there is to say of a study.

    Attributes:
        record: the study as stored.
        best: the trials, best first; with several objectives the Pareto front.
        shares: importance of parameters; empty where there are too few trials.
        cost: sums.
        failures: failed trials by their message.
        retries: attempts after a first one.
        counts: {state: trials}.
        limits: {what an infeasible trial broke: trials}.
    """

    record: StudyRecord
    best: list[Row]
    shares: list[Share]
    cost: Cost
    failures: list[Failure]
    retries: Retries
    counts: dict[str, int]
    limits: dict[str, int]

    @property
    def repeated(self) -> list[Row]:
        """The trials worth a line of their own: the best, or the whole front."""
        return self.best if len(self.record.objectives) > 1 else self.best[:1]

    def to_dict(self) -> dict[str, Any]:
        """Gives plain values for JSON."""
        record = self.record
        return {
            "name": record.name,
            "settings": dict(record.settings),
            "counts": self.counts,
            "infeasible": self.limits,
            "best": [self._described(row) for row in self.repeated],
            "recipe": None if record.recipe is None else self._described(record.recipe),
            "importance": [dataclasses.asdict(share) for share in self.shares],
            "failures": [dataclasses.asdict(failure) for failure in self.failures],
            "retries": dataclasses.asdict(self.retries),
            "cost": {**dataclasses.asdict(self.cost), "saved_share": self.cost.saved_share},
        }

    def _described(self, row: Row) -> dict[str, Any]:
        is_finished = row in self.record.finished
        return {
            "trial": row.number,
            "state": row.state,
            "values": values_of(self.record, row),
            "place": place(self.record, row) if is_finished else None,
            "params": dict(row.params),
            "length": row.length,
            "cost": dict(row.cost),
            "folder": row.folder,
            "command": command(overrides_of(self.record, row)),
        }


def summarized(study: Study, *, num_resamples: int = 200) -> Summary:
    """Makes the summary of a study, which may still be running.

    Raises:
        UserError: for a study that no sweep of loralab made.
    """
    record = recorded(study)
    return Summary(
        record=record,
        best=best_rows(record),
        shares=shares(study, num_resamples=num_resamples),
        cost=cost_of(record),
        failures=failures(record),
        retries=retries(record),
        counts=counts(record),
        limits=limits_broken(record),
    )


def values_of(record: StudyRecord, row: Row) -> dict[str, float]:
    """Gives a trial's values by metric."""
    return dict(zip(record.objectives, row.values or (), strict=False))


def score_at_documented_length(record: StudyRecord) -> tuple[int, float] | None:
    """Gives the recipe's score at its own number of steps, where its curve passes there: (steps, score)."""
    steps = documented_length(record)
    scores = dict(record.recipe.curve) if record.recipe else {}
    return (steps, scores[steps]) if steps is not None and steps in scores else None
