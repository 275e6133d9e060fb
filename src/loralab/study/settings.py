"""What a study is told: its size, sampler, pruner, objectives and limits (`conf/study`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loralab.errors import UserError, joined
from loralab.study.samplers import PRUNERS, SAMPLERS

DESIGNS = ("auto", "search", "grid", "one_factor")
LENGTHS = ("auto", "snapshots", "trials")
DIRECTIONS = ("minimize", "maximize")
VALIDATION_LOSS = "validation_loss"
DEFAULT_OBJECTIVES: Mapping[str, str] = {VALIDATION_LOSS: "minimize"}
FEW_STEP_SCORE = "fewstep.frechet"
FEW_STEP_OBJECTIVES: Mapping[str, str] = {FEW_STEP_SCORE: "minimize"}
"""What few steps draw, beside true pictures: the score where the flow-matching error says the opposite."""
STUDIES = Path("outputs/studies")


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """How a study searches.

    Attributes:
        name: its name in the storage, and of its folder; the same name goes on with the same study.
        storage: SQLAlchemy URL, `journal:///path`, or None for SQLite in the study's folder.
        num_trials: how many trials the study has in the end, over all processes and restarts; failed ones are
            repeated and do not count.
        num_workers: trials that this process runs at a time.
        sampler: tpe, gp, cmaes, nsgaii, qmc or random.
        sampler_options: arguments of Optuna's class of it.
        pruner: none, median, percentile, hyperband, asha or wilcoxon.
        pruner_options: arguments of Optuna's class of it.
        design: search draws; grid runs every combination; one_factor varies one parameter at a time around the
            recipe; auto is a grid where every parameter is a list without `sweep=`, a search otherwise.
        objectives: {metric: minimize or maximize}; None is the validation loss, and on a few-step model
            `fewstep.frechet`.
        constraints: {metric: upper limit}; a trial above one is no candidate.
        recipe_first: whether trial 0 is the documented setting.
        enqueue: parameter sets to try before anything is drawn.
        lengths: snapshots lets one trial's curve score every shorter `steps`; trials draws `steps` like any
            parameter; auto takes snapshots where the schedule is constant and the validation loss is the score.
        seed: of the draws.
        max_retries: attempts after the first one at a trial that was lost or failed.
        max_failures: failed trials at which the sweep stops.
        is_few_step: whether the model is distilled to few steps: its flow-matching validation loss is lowest where the
            distillation is lost, so that it is no score and prunes nothing.
        lease_s: how long after its last sign of life a trial of another machine counts as dead.
        root: the folder of all studies, in which this one has its own.
    """

    name: str
    storage: str | None = None
    num_trials: int = 24
    num_workers: int = 1
    sampler: str = "tpe"
    sampler_options: Mapping[str, Any] | None = None
    pruner: str = "median"
    pruner_options: Mapping[str, Any] | None = None
    design: str = "auto"
    objectives: Mapping[str, str] | None = None
    constraints: Mapping[str, float] | None = None
    recipe_first: bool = True
    enqueue: Sequence[Mapping[str, Any]] = ()
    lengths: str = "auto"
    seed: int = 0
    max_retries: int = 2
    max_failures: int = 5
    lease_s: float = 60.0
    is_few_step: bool = False
    root: str = str(STUDIES)

    def __post_init__(self) -> None:
        problems = [*self._unknown_choices(), *self._bad_numbers(), *self._bad_objectives()]
        if problems:
            raise UserError("this study cannot run:\n" + joined(problems))

    @property
    def targets(self) -> dict[str, str]:
        """The objectives, `{metric: direction}`."""
        return dict(self.objectives or (FEW_STEP_OBJECTIVES if self.is_few_step else DEFAULT_OBJECTIVES))

    @property
    def prunes(self) -> bool:
        """Whether trials are ended early, by the validation loss."""
        return self.pruner != "none" and len(self.targets) == 1 and not self.is_few_step

    @property
    def folder(self) -> Path:
        """Where the study keeps its files."""
        return Path(self.root) / self.name

    def _unknown_choices(self) -> list[str]:
        known = {"sampler": tuple(SAMPLERS), "pruner": tuple(PRUNERS), "design": DESIGNS, "lengths": LENGTHS}
        return [
            f"study.{key}={value} is unknown; choose one of {', '.join(choices)}"
            for key, choices in known.items()
            if (value := vars(self)[key]) not in choices
        ]

    def _bad_numbers(self) -> list[str]:
        least = {"num_trials": 1, "num_workers": 1, "max_retries": 0, "max_failures": 0, "lease_s": 1}
        problems = [
            f"study.{key}={vars(self)[key]} must be at least {low}"
            for key, low in least.items()
            if vars(self)[key] < low
        ]
        if not self.name or "/" in self.name:
            problems.append(f"study.name={self.name!r} must be a name for a folder")
        return problems

    def _bad_objectives(self) -> list[str]:
        problems = [
            f"study.objectives.{metric}={direction} must be minimize or maximize"
            for metric, direction in self.targets.items()
            if direction not in DIRECTIONS
        ]
        if self.is_few_step and VALIDATION_LOSS in self.targets:
            problems.append(
                f"study.objectives: {VALIDATION_LOSS} is no score of a few-step model, for it is lowest where the "
                f"distillation is lost; use {FEW_STEP_SCORE} (null takes it), with evaluation=fewstep"
            )
        if len(self.targets) > 1 and self.sampler in ("cmaes",):
            problems.append(f"study.sampler={self.sampler} takes one objective; use tpe, nsgaii or random")
        return problems
