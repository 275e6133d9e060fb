"""What can be set of distribution matching, part by part; each part checks itself.

A value that is None in a part is the preset's or follows from another value; what is given explicitly wins.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loralab.errors import UserError, joined

STEPS_SHARE, MOST_STEPS = 0.1, 500
"""Length of the second stage: a tenth of the run, as 120 of 1,120 and 60 of 660 (docs/turbo.md)."""
WARMUP_SHARE, MOST_WARMUP_STEPS = 0.2, 12
"""Of the second stage, in which the fake network only follows: 12 of 60 and more, as there."""
GRADIENT_COST = 3
"""Forward passes that one with its backward pass costs under checkpointing: forward, again, and back."""


@dataclass(frozen=True)
class Weights:
    """What the terms of the second stage count."""

    coupled: float
    dm: float
    anchor: float


PRESETS = {
    "adapter": Weights(coupled=0.0, dm=0.0, anchor=0.0),
    "coupled": Weights(coupled=1.0, dm=0.0, anchor=1.0),
    "dm_aware": Weights(coupled=0.0, dm=1.0, anchor=1.0),
}
"""The first has no second stage. Coupled targets beside matching were worse in nine of nine runs (docs/turbo.md)."""


class Part(abc.ABC):
    """Settings that name all their problems at once."""

    def __post_init__(self) -> None:
        if problems := list(self.problems()):
            raise UserError("the objective cannot be set up so:\n" + joined(problems))

    @abc.abstractmethod
    def problems(self) -> Iterator[str]:
        """Yields what is wrong, with the key as typed and the way out."""


@dataclass(frozen=True, kw_only=True)
class Base(Part):
    """A second backbone that is not distilled, to score with instead of the assistant.

    Attributes:
        checkpoint: hub id or folder of the same family, or None.
        revision: branch, tag or commit of a hub id.
        guidance: strength that pictures are pushed with beyond the caption (alpha - 1); 0 is off.
    """

    checkpoint: str | None = None
    revision: str | None = None
    guidance: float = 0.0

    def problems(self) -> Iterator[str]:
        """A strength must not be negative, and needs the backbone."""
        if self.guidance < 0:
            yield f"objective.base.guidance={self.guidance} must be at least 0; 0 is off"
        if self.checkpoint is None and (self.guidance or self.revision):
            yield (
                f"objective.base.guidance={self.guidance} and objective.base.revision={self.revision} have no effect "
                "without objective.base.checkpoint: an assistant's scores already hold the guidance"
            )


@dataclass(frozen=True, kw_only=True)
class Prior(Part):
    """What the checkpoint draws for prompts without the concept, and is to go on drawing.

    Attributes:
        prompts: texts, or the path of a file with one in each line; None takes the captions without the trigger.
        bank_size: pictures that are drawn once and kept.
        weight: of their flow-matching loss in the first stage.
    """

    prompts: Sequence[str] | str | None = None
    bank_size: int = 256
    weight: float = 1.0

    def problems(self) -> Iterator[str]:
        """Counts and weights."""
        if self.bank_size < 1:
            yield f"objective.prior.bank_size={self.bank_size} must be at least 1"
        if self.weight < 0:
            yield f"objective.prior.weight={self.weight} must be at least 0; 0 is off"


@dataclass(frozen=True, kw_only=True)
class StageTwoSettings(Part):
    """The second stage, on the bare checkpoint.

    Attributes:
        steps: of the run's steps, those at the end; None is a tenth, at most 500, and 0 in preset adapter.
        lr: of the student; None is 0.3 of optimizer.lr.
        betas: of its AdamW: no momentum against a network that is trained against it.
        warm_start: goes on from what the first stage learned; else from the bare checkpoint, with the teacher alone
            knowing the concept.
    """

    steps: int | None = None
    warm_start: bool = True
    lr: float | None = None
    betas: Sequence[float] = (0.0, 0.99)

    def problems(self) -> Iterator[str]:
        """Counts, rates and decays."""
        if self.steps is not None and self.steps < 0:
            yield f"objective.stage2.steps={self.steps} must be at least 0; 0 is no second stage"
        yield from rate_problems("stage2", lr=self.lr, betas=self.betas)


@dataclass(frozen=True, kw_only=True)
class Coupled(Part):
    """Regression on the ends of the teacher's own paths, at the sigmas of the grid.

    Attributes:
        weight: None is the preset's.
        bank_size: pairs that are drawn once and kept.
        teacher_steps: solver steps of a path.
    """

    weight: float | None = None
    bank_size: int = 256
    teacher_steps: int = 30

    def problems(self) -> Iterator[str]:
        """Counts and weights."""
        yield from weight_problems("coupled", self.weight)
        for key in ("bank_size", "teacher_steps"):
            if vars(self)[key] < 1:
                yield f"objective.coupled.{key}={vars(self)[key]} must be at least 1"


@dataclass(frozen=True, kw_only=True)
class Matching(Part):
    """Distribution matching on what the student draws.

    Attributes:
        weight: None is the preset's.
        sigmas: lowest and highest noise level at which the scores are asked.
        floor: least distance that a push is divided by.
    """

    weight: float | None = None
    sigmas: Sequence[float] = (0.02, 0.98)
    floor: float = 0.3

    def problems(self) -> Iterator[str]:
        """Weights, and a range inside (0, 1)."""
        yield from weight_problems("dm", self.weight)
        if len(self.sigmas) != 2 or not 0 < self.sigmas[0] < self.sigmas[1] < 1:
            yield f"objective.dm.sigmas={list(self.sigmas)} must be two levels with 0 < lowest < highest < 1"
        if not self.floor > 0:
            yield f"objective.dm.floor={self.floor} must be above 0: pushes are divided by it"


@dataclass(frozen=True, kw_only=True)
class Fake(Part):
    """The network that follows what the student draws.

    Attributes:
        lr: None is stage2.lr / 0.3, which is optimizer.lr where that is not given either.
        updates: of it for each one of the student.
        rank: None is the adapter's.
        betas: of its AdamW.
        warmup_steps: first steps of the stage in which it learns and does not push yet; None is a fifth of the stage,
            at most 12.
    """

    lr: float | None = None
    updates: int = 4
    rank: int | None = None
    betas: Sequence[float] = (0.0, 0.99)
    warmup_steps: int | None = None

    def problems(self) -> Iterator[str]:
        """Counts, rates and decays."""
        for key, least in {"updates": 1, "rank": 1, "warmup_steps": 0}.items():
            value = vars(self)[key]
            if value is not None and value < least:
                yield f"objective.fake.{key}={value} must be at least {least}"
        yield from rate_problems("fake", lr=self.lr, betas=self.betas)


@dataclass(frozen=True, kw_only=True)
class Anchor(Part):
    """Agreement with the bare checkpoint on what it draws for prior prompts.

    Attributes:
        weight: None is the preset's.
    """

    weight: float | None = None

    def problems(self) -> Iterator[str]:
        """The weight."""
        yield from weight_problems("anchor", self.weight)


def weight_problems(part: str, weight: float | None) -> Iterator[str]:
    """Yields what is wrong with a weight."""
    if weight is not None and weight < 0:
        yield f"objective.{part}.weight={weight} must be at least 0; 0 is off"


def rate_problems(part: str, *, lr: float | None, betas: Sequence[float]) -> Iterator[str]:
    """Yields what is wrong with a rate and the decays of AdamW."""
    if lr is not None and not 0 < lr < float("inf"):
        yield f"objective.{part}.lr={lr} must be a positive number"
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        yield f"objective.{part}.betas={list(betas)} must be two numbers in [0, 1)"
