"""Distribution matching as it is configured: which terms, how strong, and on what they stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loralab.errors import UserError
from loralab.flow import SigmaSampler
from loralab.flow.weighting import Weighting
from loralab.objectives.distribution.prompts import prior_prompts
from loralab.objectives.distribution.settings import (
    GRADIENT_COST,
    MOST_STEPS,
    MOST_WARMUP_STEPS,
    PRESETS,
    STEPS_SHARE,
    WARMUP_SHARE,
    Anchor,
    Base,
    Coupled,
    Fake,
    Matching,
    Part,
    Prior,
    StageTwoSettings,
    Weights,
)
from loralab.objectives.objective import OptimizerFactory, ScheduleFactory

if TYPE_CHECKING:
    from loralab.data.collect import Collection
    from loralab.denoiser import Denoiser
    from loralab.objectives.distribution.module import DistributionModule


@dataclass(frozen=True, kw_only=True)
class DistributionMatching(Part):
    """The settings of the objective; called with a denoiser, they give the module that trains.

    Attributes:
        preset: adapter (first stage only), coupled, or dm_aware (matching and anchor); explicit weights and steps win.
        sigmas, weighting: of the flow matching in the first stage.
        assistant: file or hub id of the adapter that makes the checkpoint a velocity regression model again.
        base: a second backbone that is one, instead of the assistant.
        teacher: adapter file of a first stage that was run before; the whole run is then the second stage.
        num_steps: of the grid; None is what the checkpoint is sampled with.
        prior, stage2, coupled, dm, fake, anchor: the parts.
    """

    sigmas: SigmaSampler
    weighting: Weighting
    preset: str = "dm_aware"
    assistant: str | None = None
    base: Base = field(default_factory=Base)
    teacher: str | None = None
    num_steps: int | None = None
    prior: Prior = field(default_factory=Prior)
    stage2: StageTwoSettings = field(default_factory=StageTwoSettings)
    coupled: Coupled = field(default_factory=Coupled)
    dm: Matching = field(default_factory=Matching)
    fake: Fake = field(default_factory=Fake)
    anchor: Anchor = field(default_factory=Anchor)

    def __call__(
        self, denoiser: Denoiser, *, optimizer: OptimizerFactory, schedule: ScheduleFactory, seed: int
    ) -> DistributionModule:
        """Gives the module; `optimizer` and `schedule` are the first stage's."""
        from loralab.objectives.distribution.module import DistributionModule

        return DistributionModule(denoiser, settings=self, optimizer=optimizer, schedule=schedule, seed=seed)

    @property
    def weights(self) -> Weights:
        """The terms' weights: the preset's, where none is given."""
        given = {"coupled": self.coupled.weight, "dm": self.dm.weight, "anchor": self.anchor.weight}
        preset = vars(PRESETS[self.preset])
        return Weights(**{key: preset[key] if weight is None else weight for key, weight in given.items()})

    @property
    def has_stage_two(self) -> bool:
        """Says whether there is a second stage."""
        if self.teacher is not None:
            return True
        return self.stage2.steps > 0 if self.stage2.steps is not None else self.preset != "adapter"

    @property
    def needs_prior(self) -> bool:
        """Says whether prior prompts are used at all."""
        first = self.prior.weight > 0 and self.teacher is None
        return first or (self.has_stage_two and self.weights.anchor > 0)

    def second_steps(self, num_steps: int) -> int:
        """Counts the steps of the second stage in a run of `num_steps`.

        Raises:
            UserError: if nothing is left for one of the stages.
        """
        if not self.has_stage_two:
            return 0
        if self.teacher is not None:
            return num_steps
        given = self.stage2.steps
        steps = min(MOST_STEPS, max(1, int(STEPS_SHARE * num_steps))) if given is None else given
        if not 0 < steps < num_steps:
            raise UserError(
                f"objective.stage2.steps={'null' if given is None else given} leaves nothing of steps={num_steps} for "
                "one of the two stages; a tenth of the steps is usual, and objective.preset=adapter has one stage only"
            )
        return steps

    def mean_passes(self, num_steps: int, *, grid: int) -> float:
        """Counts the forward passes for each picture of a step, one with a backward pass as three: mean over the run.

        Args:
            num_steps: of the run.
            grid: steps in which the checkpoint is sampled, where `num_steps` of the settings says nothing else.
        """
        second, weights = self.second_steps(num_steps), self.weights
        early = GRADIENT_COST * (2 if self.prior.weight > 0 else 1)
        late = GRADIENT_COST * sum(weight > 0 for weight in vars(weights).values())
        if weights.dm > 0:  # a rollout, two scores, and the fake network's updates
            late += (self.num_steps or grid) + 2 + GRADIENT_COST * self.fake.updates
        return ((num_steps - second) * early + second * late) / num_steps

    @property
    def num_copies(self) -> int:
        """Counts fp32 numbers beside the student's own for each that it trains: other adapters, and what trains one.

        The assistant counts as large as the student. A fake network has gradients and two moments of AdamW.
        """
        assistant = 1 if self.base.checkpoint is None else 0
        if not self.has_stage_two:
            return assistant
        return assistant + 1 + (4 if self.weights.dm > 0 else 0)

    def warmup_steps(self, num_steps: int) -> int:
        """Counts the steps of a second stage of `num_steps` in which the fake network does not push yet."""
        given = self.fake.warmup_steps
        return min(MOST_WARMUP_STEPS, int(WARMUP_SHARE * num_steps)) if given is None else given

    def planned_prompts(
        self, collection: Collection, *, trigger: str | None, num_steps: int
    ) -> tuple[str, ...]:
        """Gives the prior's prompts; raises a UserError where something is missing that the run will need."""
        self._require_scores()
        self.second_steps(num_steps)
        if not self.needs_prior:
            return ()
        return prior_prompts(self.prior.prompts, collection, trigger=trigger)

    def problems(self) -> Iterator[str]:
        """What contradicts itself."""
        if self.preset not in PRESETS:
            yield f"objective.preset={self.preset} is none of {', '.join(PRESETS)}"
            return
        if self.assistant is not None and self.base.checkpoint is not None:
            yield (
                f"objective.assistant={self.assistant} has no effect with objective.base.checkpoint="
                f"{self.base.checkpoint}: one of them gives the scores; leave the other out"
            )
        if self.num_steps is not None and self.num_steps < 1:
            yield f"objective.num_steps={self.num_steps} must be at least 1; null is the model's own"
        yield from self._without_effect()

    def _without_effect(self) -> Iterator[str]:
        given = {
            "coupled.weight": self.coupled.weight, "dm.weight": self.dm.weight, "anchor.weight": self.anchor.weight,
            "stage2.lr": self.stage2.lr, "fake.lr": self.fake.lr, "fake.rank": self.fake.rank,
        }  # fmt: skip
        if not self.has_stage_two:
            for key, value in given.items():
                if value is not None:
                    yield (
                        f"objective.{key}={value} has no effect: objective.preset={self.preset} has no second stage "
                        "here. Choose preset=coupled or dm_aware, or set objective.stage2.steps"
                    )
        elif not any(vars(self.weights).values()):
            yield (
                f"objective.stage2.steps={self.stage2.steps}: every weight of the second stage is 0 in "
                f"objective.preset={self.preset}; choose objective.preset=coupled or dm_aware, or set "
                "objective.coupled.weight, objective.dm.weight or objective.anchor.weight"
            )
        if self.teacher is not None and self.stage2.steps is not None:
            yield (
                f"objective.stage2.steps={self.stage2.steps} has no effect with objective.teacher={self.teacher}: the "
                "whole run is the second stage; set steps"
            )
        if not self.needs_prior and self.prior.prompts is not None:
            yield "objective.prior.prompts has no effect: objective.prior.weight and objective.anchor.weight are 0"

    def _require_scores(self) -> None:
        if self.assistant is None and self.base.checkpoint is None:
            raise UserError(
                "objective.assistant must be given: a checkpoint distilled to few steps has no score of its own. Train "
                "one (python -m loralab assistant train), or take a published one, for Z-Image Turbo "
                "objective.assistant=ostris/zimage_turbo_training_adapter; or give the checkpoint that the model was "
                "distilled from as objective.base.checkpoint"
            )
