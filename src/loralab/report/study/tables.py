"""All trials of a study as one table: trials.csv, and the rows that W&B shows."""

from __future__ import annotations

import csv
import io
from typing import Any

from loralab.report.study.record import Row, StudyRecord

COSTS = ("wall_time_s", "train_s", "overhead_s", "peak_memory_gib")


def columns(record: StudyRecord) -> list[str]:
    """Names the columns: what a trial is, what came out, what was searched, what it cost, and every other number."""
    others = dict.fromkeys(name for row in record.rows for name in row.metrics)
    known = {*record.objectives, *COSTS}
    return [
        "trial", "state", *record.objectives, *record.params, "length", *COSTS, "pruned_at", "is_recipe", "retry_of",
        "answered_by", "beyond", "error", "folder", *(f"metrics.{name}" for name in others if name not in known),
    ]  # fmt: skip


def table(record: StudyRecord) -> list[list[Any]]:
    """Gives the cells of all trials, None where there is nothing."""
    names = columns(record)
    return [[known.get(name) for name in names] for known in (_cells(record, row) for row in record.rows)]


def csv_text(record: StudyRecord) -> str:
    """Gives the table as CSV with a head."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns(record))
    writer.writerows(table(record))
    return text.getvalue()


def _cells(record: StudyRecord, row: Row) -> dict[str, Any]:
    values = dict(zip(record.objectives, row.values or (), strict=False))
    return {
        "trial": row.number,
        "state": row.state,
        "length": row.length,
        "pruned_at": row.pruned_at,
        "is_recipe": row.is_recipe,
        "retry_of": row.retry_of,
        "answered_by": row.answered_by,
        "beyond": " ".join(row.excess) or None,
        "error": row.error.strip().partition("\n")[0] or None,
        "folder": row.folder,
        **{f"metrics.{name}": value for name, value in row.metrics.items()},
        **{name: row.cost.get(name) for name in COSTS},
        **row.params,
        **values,
    }
