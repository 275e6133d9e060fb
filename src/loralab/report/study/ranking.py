"""Who is best: one objective is an order, several are a Pareto front; only trials within the limits count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loralab.report.study.record import Row, StudyRecord


def best_rows(record: StudyRecord) -> list[Row]:
    """Gives the trials, best first; with several objectives the Pareto front by the first of them."""
    return front(record) if len(record.objectives) > 1 else ordered(record)


def ordered(record: StudyRecord) -> list[Row]:
    """Gives the trials by the first objective, best first."""
    return sorted(record.finished, key=lambda row: (costs(record, row)[0], row.number))


def front(record: StudyRecord) -> list[Row]:
    """Gives the trials to which no other is at least equal in all objectives and better in one."""
    rows = ordered(record)
    kept = non_dominated([costs(record, row) for row in rows])
    return [row for row, is_kept in zip(rows, kept, strict=True) if is_kept]


def place(record: StudyRecord, row: Row) -> int:
    """Gives a finished trial's place by the first objective; equal values share one."""
    own = costs(record, row)[0]
    return 1 + sum(costs(record, other)[0] < own for other in record.finished)


def costs(record: StudyRecord, row: Row) -> tuple[float, ...]:
    """Gives a finished trial's values with signs by which less is better."""
    assert row.values is not None
    signs = (-1.0 if direction == "maximize" else 1.0 for direction in record.objectives.values())
    return tuple(sign * value for sign, value in zip(signs, row.values, strict=True))


def non_dominated(points: Sequence[Sequence[float]]) -> list[bool]:
    """Says of each point whether no other is less or equal in all coordinates and less in one."""
    table = np.asarray(points, np.float64)
    if not len(table):
        return []
    return [not bool(((table <= point).all(1) & (table < point).any(1)).any()) for point in table]
