"""What a study cost, and what pruning and curves saved of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from loralab.report.study.record import FINISHED, INFEASIBLE, PRUNED, Row, StudyRecord


@dataclass(frozen=True)
class Cost:
    """Sums over all trials.

    Attributes:
        num_runs: trials that were run, whatever came of them.
        wall_time_s: of all runs.
        train_s: the part spent in training.
        overhead_per_run_s: what loading and encoding took in each run, on average.
        peak_memory_gib: the largest.
        num_answered: trials whose value was read off another trial's curve.
        steps_trained: in runs that finished or were pruned.
        steps_saved: what pruning left untrained of them.
    """

    num_runs: int
    wall_time_s: float
    train_s: float
    overhead_per_run_s: float
    peak_memory_gib: float
    num_answered: int
    steps_trained: int
    steps_saved: int

    @property
    def saved_share(self) -> float:
        """The part of all steps that pruning saved."""
        total = self.steps_trained + self.steps_saved
        return self.steps_saved / total if total else 0.0


def cost_of(record: StudyRecord) -> Cost:
    """Adds up a study."""
    runs = [row for row in record.rows if row.answered_by is None]
    costs = [row.cost for row in runs if row.cost]
    full = [row for row in runs if row.state in (FINISHED, INFEASIBLE, PRUNED) and _end(row)]
    longest = max((_end(row) for row in full), default=0)
    return Cost(
        num_runs=sum(bool(row.cost or row.curve) for row in runs),
        wall_time_s=_sum(costs, "wall_time_s"),
        train_s=_sum(costs, "train_s"),
        overhead_per_run_s=_sum(costs, "overhead_s") / max(len(costs), 1),
        peak_memory_gib=max((cost.get("peak_memory_gib", 0.0) for cost in costs), default=0.0),
        num_answered=len(record.rows) - len(runs),
        steps_trained=sum(_end(row) for row in full),
        steps_saved=sum(
            max(_planned(record, row, longest=longest) - _end(row), 0) for row in full if row.state == PRUNED
        ),
    )


def _end(row: Row) -> int:
    """Gives the last step that was trained."""
    return row.pruned_at or max((step for step, _ in row.curve), default=0)


def _planned(record: StudyRecord, row: Row, *, longest: int) -> int:
    """Gives the steps that a trial would have had; where nothing says so, those of the longest trial."""
    lengths = record.settings.get("lengths")
    return int(lengths["high"] if lengths else row.params.get("steps", longest))


def _sum(costs: list[Mapping[str, float]], name: str) -> float:
    return float(sum(cost.get(name) or 0.0 for cost in costs))
