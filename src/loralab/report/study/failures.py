"""What came to nothing, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from loralab.report.study.record import FAILED, FINISHED, INFEASIBLE, StudyRecord
from loralab.study.outcome import DIVERGED, OUT_OF_MEMORY, TIMEOUT

ENDINGS = {OUT_OF_MEMORY: "out of memory", DIVERGED: "diverged", TIMEOUT: "past the time limit"}
"""Limits without a number: what a trial met before its end."""


@dataclass(frozen=True)
class Failure:
    """Trials that failed with one message, and the folder of the first of them."""

    reason: str
    numbers: tuple[int, ...]
    folder: str | None


@dataclass(frozen=True)
class Retries:
    """Attempts after a first one, and how many of them finished."""

    num_attempts: int
    num_finished: int


def failures(record: StudyRecord) -> list[Failure]:
    """Groups the failed trials by the first line of what they said, most frequent first."""
    groups: dict[str, list[int]] = {}
    folders = {row.number: row.folder for row in record.rows}
    for row in record.rows:
        if row.state == FAILED:
            reason = row.error.strip().partition("\n")[0] or "without a word: its process was gone"
            groups.setdefault(reason, []).append(row.number)
    found = [Failure(reason, tuple(numbers), folders[numbers[0]]) for reason, numbers in groups.items()]
    return sorted(found, key=lambda failure: -len(failure.numbers))


def counts(record: StudyRecord) -> dict[str, int]:
    """Counts the trials in each state."""
    return dict(Counter(row.state for row in record.rows))


def limits_broken(record: StudyRecord) -> dict[str, int]:
    """Counts the infeasible trials by the limit that they broke, in words."""
    broken = (name for row in record.rows if row.state == INFEASIBLE for name in row.excess)
    return dict(Counter(ENDINGS.get(name, f"beyond the limit of {name}") for name in broken))


def retries(record: StudyRecord) -> Retries:
    """Counts the attempts at trials that had failed."""
    attempts = [row for row in record.rows if row.retry_of is not None]
    return Retries(len(attempts), sum(row.state == FINISHED for row in attempts))
