"""What an ablation holds, as frozen values: all its tables, figures and pages are made of these and of nothing else.

`ablation.json` in the ablation's folder is this record, written by `write_record` and read by `read_record`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loralab.errors import UserError
from loralab.files import atomic_write
from loralab.report.ablation.findings import Analysis, ClaimRecord, Comparison, Family, Summary

__all__ = [
    "CONFIRMATION", "FAILED", "FILE", "FINISHED", "INFEASIBLE", "NOT_RUN", "PLANNED", "RUNNING", "AblationRecord",
    "Analysis", "Cell", "ClaimRecord", "Comparison", "Factor", "Family", "Level", "Metric", "Origin", "RunRecord",
    "Summary", "read_record", "write_record",
]  # fmt: skip

FILE = "ablation.json"
FINISHED, FAILED, INFEASIBLE, RUNNING, NOT_RUN = "finished", "failed", "infeasible", "running", "not run"
PLANNED, CONFIRMATION = "planned", "confirmation"


@dataclass(frozen=True)
class Level:
    """One value of a factor: what it is called, and what it sets."""

    name: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Factor:
    """What is varied; `baseline` names one of the levels."""

    name: str
    baseline: str
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Cell:
    """One combination of levels.

    Attributes:
        name: `baseline`, or the levels that differ from it, as `rank=4, lr=x2`.
        levels: {factor: level} of all factors.
        overrides: what it sets beside what all cells have.
        is_baseline: whether the others are compared with it.
    """

    name: str
    levels: Mapping[str, str]
    overrides: tuple[str, ...]
    is_baseline: bool


@dataclass(frozen=True)
class Metric:
    """A number of result.json; `direction` is minimize or maximize."""

    key: str
    direction: str
    title: str


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One cell under one seed.

    Attributes:
        cell: its cell's name.
        seed: of data order, noise and initial weights; the same seeds in all cells.
        purpose: planned, or confirmation (fresh seeds, chosen after the planned runs were seen).
        status: finished, failed, infeasible (out of memory, diverged, out of time), running or not run.
        reason: why there are no metrics.
        folder: of the last attempt, relative to the ablation's folder.
        command: the line that repeats it.
        metrics: all numbers of its result.json, by dotted path.
        curve: (step, validation loss).
        wall_time_s: of the whole run.
        peak_memory_gib: the most that it held.
        num_attempts: times that it was begun.
    """

    cell: str
    seed: int
    purpose: str
    status: str
    reason: str
    folder: str | None
    command: str
    metrics: Mapping[str, float]
    curve: tuple[tuple[int, float], ...]
    wall_time_s: float | None
    peak_memory_gib: float | None
    num_attempts: int


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What is needed to make everything again.

    Attributes:
        command: begins the ablation, or goes on with it.
        report_command: makes its tables and figures again.
        commits: of the runs; more than one where the code changed between them.
        packages: {package: versions} of the runs.
        devices: of the runs.
        data: {dataset root: what is known of its content}.
        config: the definition as it was composed.
    """

    command: str
    report_command: str
    commits: tuple[str, ...]
    packages: Mapping[str, tuple[str, ...]]
    devices: tuple[str, ...]
    data: Mapping[str, str]
    config: str


@dataclass(frozen=True, kw_only=True)
class AblationRecord:
    """An ablation: what was asked, what was run, and what the statistics say.

    Attributes:
        name: also of its folder.
        title, question: in words.
        model: what was trained.
        overrides: of all runs.
        design: one_at_a_time, factorial or fractional.
        resolution: of a fractional design: 3 or more.
        aliases: effects that a fractional design cannot tell apart, as `rank = alpha x lr`.
        factors, cells, seeds, confirmation_seeds, metrics: the plan; the first metric is the one that decides.
        alpha: level of the tests.
        runs: every planned run, also those that failed or were not run.
        summaries, comparisons, families, analyses: statistics, planned and confirmation runs apart.
        claim: what it tests, if it tests a claim.
        num_hours: of all runs together.
        budget_hours: at which no further run begins.
        origin: how to make everything again.
    """

    name: str
    title: str
    question: str
    model: str
    overrides: tuple[str, ...]
    design: str
    resolution: int | None
    aliases: tuple[str, ...]
    factors: tuple[Factor, ...]
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    confirmation_seeds: tuple[int, ...]
    metrics: tuple[Metric, ...]
    alpha: float
    runs: tuple[RunRecord, ...]
    summaries: tuple[Summary, ...]
    comparisons: tuple[Comparison, ...]
    families: tuple[Family, ...]
    analyses: tuple[Analysis, ...]
    claim: ClaimRecord | None
    num_hours: float
    budget_hours: float | None
    origin: Origin
    format_version: int = field(default=1)

    @property
    def is_complete(self) -> bool:
        """Whether every run has ended, well or not."""
        return all(run.status not in (RUNNING, NOT_RUN) for run in self.runs)


def write_record(record: AblationRecord, folder: Path, *, name: str = FILE) -> Path:
    """Writes the record into a folder; returns its path."""
    from pydantic import TypeAdapter

    data = TypeAdapter(AblationRecord).dump_json(record, indent=2)
    return atomic_write(folder / name, data + b"\n")


def read_record(path: Path) -> AblationRecord:
    """Reads an ablation's file.

    Raises:
        UserError: for a file that is none.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(AblationRecord).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"{path} is no record of an ablation: {error}") from error
