"""What is compared: the recipe and the best trials of a study, each a line of train.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from loralab.errors import UserError
from loralab.report.study.lines import documented_length, overrides_of, recipe_overrides
from loralab.report.study.ranking import best_rows
from loralab.report.study.record import FINISHED, Row, StudyRecord

RECIPE = "recipe"


@dataclass(frozen=True)
class Arm:
    """One side of the comparison.

    Attributes:
        name: also the name of its folder.
        overrides: its line, without a seed.
        trial: the trial that it repeats.
        searched: what the search reported of it, by objective; empty where it reported nothing of this very line.
    """

    name: str
    overrides: tuple[str, ...]
    trial: int | None
    searched: Mapping[str, float]

    @property
    def title(self) -> str:
        """The name as people read it."""
        return self.name if self.name == RECIPE else f"trial {self.trial}"


def arms_of(record: StudyRecord, *, num_best: int) -> list[Arm]:
    """Gives the recipe's arm and those of the best trials that are not the recipe itself, each line once.

    Raises:
        UserError: where there is no such trial.
    """
    arms = [Arm(RECIPE, tuple(recipe_overrides(record)), _number(record.recipe), _searched_recipe(record))]
    lines = set()
    for row in best_rows(record):
        overrides = tuple(overrides_of(record, row))
        if len(arms) <= num_best and not _is_recipe(record, row) and frozenset(overrides) not in lines:
            lines.add(frozenset(overrides))
            arms.append(Arm(f"trial_{row.number:04d}", overrides, row.number, _values(record, row)))
    if len(arms) == 1:
        best = best_rows(record)
        reason = (
            f"its best, trial {best[0].number}, is the recipe itself"
            if best
            else "none of its trials has finished"
        )
        raise UserError(
            f"study {record.name!r} has nothing to confirm: {reason}; more trials: study.num_trials=..."
        )
    return arms


def _is_recipe(record: StudyRecord, row: Row) -> bool:
    """Says whether a trial is the documented setting at its documented length."""
    same = record.recipe is not None and not record.drawn_in_recipe and row.params == record.recipe.params
    return same and row.length in (None, documented_length(record))


def _searched_recipe(record: StudyRecord) -> dict[str, float]:
    """The recipe is run at its documented length, which need not be the length that its trial was scored at."""
    row = record.recipe
    if row is None or row.state != FINISHED or record.drawn_in_recipe:
        return {}
    if row.length is None:
        return _values(record, row)
    score = dict(row.curve).get(documented_length(record) or -1)
    return {} if score is None else {next(iter(record.objectives)): score}


def _values(record: StudyRecord, row: Row) -> dict[str, float]:
    return dict(zip(record.objectives, row.values or (), strict=False))


def _number(row: Row | None) -> int | None:
    return None if row is None else row.number
