"""The LightningModule of distribution matching: two stages, one frozen backbone, several adapters.

    stage 1   flow matching of the concept's pictures by checkpoint + assistant + student, and of what the bare
              checkpoint draws for prior prompts: the assistant takes the mean's blur upon itself, so that the student
              learns the concept alone
    between   teacher := student; the teacher's pairs are drawn once
    stage 2   the student goes on from there on the bare checkpoint (loralab.objectives.distribution.stage_two)

Optimization is manual. Lightning knows the student's optimizer alone, so that its step counts the student's updates;
the fake network's optimizer is this module's own. All randomness is a function of (seed, stream, batch.index).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor

from loralab.adapter import adapter_state, load_adapter_state
from loralab.adapter.roles import ASSISTANT, FAKE, STUDENT, TEACHER
from loralab.denoiser import Denoiser
from loralab.errors import UserError
from loralab.objectives.distribution.bank import Bank
from loralab.objectives.distribution.banks import Banks, Grid
from loralab.objectives.distribution.cast import cast_for, require_same_encoders
from loralab.objectives.distribution.optimizers import Optimizers
from loralab.objectives.distribution.stage_one import StageOne
from loralab.objectives.distribution.stage_two import Signals, StageTwo
from loralab.objectives.distribution.taught import taught_state
from loralab.objectives.objective import (
    LOSS,
    Objective,
    OptimizerFactory,
    ScheduleFactory,
    Surroundings,
    picture_errors,
)
from loralab.optim import averaged

if TYPE_CHECKING:
    from loralab.data.batch import Batch
    from loralab.objectives.distribution.recipe import DistributionMatching

log = logging.getLogger(__name__)
SMOOTHING = 0.05
"""Weight of a new reading of the matching signals: one sample's depend on its sigma far more than on the student."""


class DistributionModule(Objective[Denoiser]):
    """Trains a concept into a few-step checkpoint that stays one."""

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        settings: DistributionMatching,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory,
        seed: int,
    ) -> None:
        """Takes a denoiser whose transformer already carries the student."""
        super().__init__(denoiser, sigmas=settings.sigmas, seed=seed)
        self.automatic_optimization = False
        self.settings = settings
        self.stage = 1
        self._optimizer, self._schedule = optimizer, schedule
        self._smoothed: dict[str, Tensor] = {}
        self._prior: Bank | None = None

    def prepare(self, surroundings: Surroundings) -> None:
        """Adds the other adapters, with room for all that will be needed: later nothing changes its shape."""
        settings = self.settings
        self._run = surroundings
        self._second_steps = settings.second_steps(surroundings.num_steps)
        self._first_steps = surroundings.num_steps - self._second_steps
        require_same_encoders(self.denoiser, surroundings.base)
        taught = None if settings.teacher is None else taught_state(self.denoiser, settings.teacher)
        self._cast = cast_for(
            self.denoiser, surroundings, assistant=settings.assistant, parts=self._further_parts
        )
        self._optimizers = Optimizers(
            settings,
            student=self._cast.student_parameters,
            first=self._optimizer,
            schedule=self._schedule,
            num_steps=(self._first_steps, self._second_steps),
            fake=self._cast.fake_parameters,
        )
        num_steps = settings.num_steps or self.denoiser.sampling.num_steps
        self._banks = Banks(
            surroundings.pictures.prompt_embeds,
            surroundings.shown(),
            Grid(self.denoiser, num_steps),
            surroundings.micro_batch_size,
            (self.denoiser.prompt_fingerprint(), surroundings.held),
        )
        if taught is not None:
            self._open_second(taught)

    @property
    def judged(self) -> Denoiser:
        """In the first stage the network that learns; then the bare checkpoint, where the error detects blur."""
        return self._cast.scores.denoiser if self.stage == 1 else self.denoiser

    @property
    def teacher_name(self) -> str | None:
        """What the teacher is called inside the transformer that is exported from; None where it is not in it."""
        is_here = self._cast.scores.denoiser is self.denoiser and TEACHER in self._further_parts
        return TEACHER if is_here else None

    @property
    def judged_from(self) -> int:
        """In the first stage the student alone drifts by design, where a second one mends that."""
        return self._first_steps if self._second_steps else 0

    @property
    def reference_names(self) -> tuple[str, ...]:
        """Names the adapters that together are the concept's flow-matching optimum from the second stage on."""
        return () if self.teacher_name is None else (ASSISTANT, TEACHER)

    def validation_errors(
        self, batch: Batch, *, levels: Sequence[float]
    ) -> dict[str, Float[Tensor, " num_levels b"]]:
        """Gives each picture's error at each noise level."""
        return {LOSS: picture_errors(self.judged, batch, levels=levels)}

    def readings(self) -> dict[str, float]:
        """Gives the newest matching signals, smoothed over steps; waits for the device."""
        return {name: float(value) for name, value in self._smoothed.items()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Gives the student's optimizer of the stage that a run begins or goes on with."""
        return self._optimizers.begin(self.stage)

    def on_train_start(self) -> None:
        """Draws the banks that are not there yet."""
        if self.trainer.world_size > 1:
            raise UserError(
                f"trainer.devices={self.trainer.world_size}: distribution matching trains on one device. "
                "Set trainer.devices=1"
            )
        if self.settings.needs_prior:
            self._prior = self._banks.prior(
                self._run.prompts,
                size=self.settings.prior.bank_size,
                root=self._run.cache_root / "prior",
                bare=self._cast.student.velocity,
                weights=self.denoiser.identity().base_digest,
            )
        if self.stage == 1:
            self._stage_one = self._made_stage_one()
        else:
            self._stage_two = self._made_stage_two()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Goes over to the second stage before its first step."""
        if self.stage == 1 and self._second_steps and self.trainer.global_step == self._first_steps:
            self._go_over()

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Adds a micro-batch's gradients, updates at the end of a step; gives `loss`, `error` and `signals`."""
        signals = self._stage_one.micro_step(batch) if self.stage == 1 else self._second_step(batch)
        error = torch.zeros((), device=batch.latents.device)
        for name in self._weights.keys() & signals.keys():
            error = error + self._weights[name] * signals[name]
        if (batch.index + 1) % self._run.accumulate == 0:
            signals |= self._update(num_pictures=self._run.accumulate * len(batch))
        signals["train/stage"] = float(self.stage)
        return {"loss": error / self._run.accumulate, "error": error, "signals": signals}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips the student's gradient, after its norm was logged."""
        if self._run.clip is not None:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self._run.clip)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps all trained adapters, the teacher and the fake network's optimizer, and no frozen base."""
        checkpoint["state_dict"] = {}
        checkpoint["distribution"] = {
            "stage": self.stage,
            "adapters": {name: adapter_state(host, name=name) for name, host in self._kept.items()},
            "optimizers": self._optimizers.state_dict(),
            "smoothed": {name: value.cpu() for name, value in self._smoothed.items()},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes everything up again, before the trainer asks for the optimizer."""
        kept = checkpoint["distribution"]
        self.stage = int(kept["stage"])
        for name, host in self._kept.items():
            load_adapter_state(host, kept["adapters"].get(name, {}), name=name)
        self._optimizers.load_state_dict(kept["optimizers"])
        self._smoothed = {name: value.to(self.denoiser.device) for name, value in kept["smoothed"].items()}
        self._cast.open_stage(self.stage)

    def _second_step(self, batch: Batch) -> Signals:
        """Adds the gradients of one micro-batch of the second stage."""
        done = self.trainer.global_step - self._first_steps
        signals = self._stage_two.micro_step(
            batch, pushes=done >= self.settings.warmup_steps(self._second_steps)
        )
        for name in {"dm/rel_gap", "dm/cos"} & signals.keys():
            self._smoothed[name] = _smoothed(self._smoothed.get(name), torch.as_tensor(signals[name]))
        return signals

    def _update(self, *, num_pictures: int) -> Signals:
        """Ends a step: the student's update, then the fake network's."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        self._optimizers.schedule.step()
        if self.stage == 1:
            return {"cost/forwards": self._stage_one.cost}
        signals = self._stage_two.update_fake(self._optimizers.fake, clip=self._run.clip)
        return signals | {"cost/forwards": self._stage_two.spent() / num_pictures}

    def _go_over(self) -> None:
        """Makes the student of this moment the teacher; the student goes on with an optimizer of its own."""
        with averaged(self.trainer.optimizers[0]):
            state = adapter_state(self.transformer, name=STUDENT)
        self._open_second(state)
        self.trainer.strategy.optimizers = [self._optimizers.begin(2)]
        self._stage_two = self._made_stage_two()
        log.info("second stage: %d steps on the bare checkpoint", self._second_steps)

    def _open_second(self, teacher: dict[str, Tensor]) -> None:
        """Makes this state the teacher, and the student as well, unless it starts from the bare checkpoint."""
        load_adapter_state(self.transformer, teacher, name=STUDENT)
        load_adapter_state(self._cast.scores.denoiser.transformer, teacher, name=TEACHER)
        if not self.settings.stage2.warm_start:
            self._cast.clear_student()
        self.stage = 2
        self._cast.open_stage(2)

    @property
    def _weights(self) -> dict[str, float]:
        """What the losses of the present stage count."""
        if self.stage == 1:
            return {"loss/concept": 1.0, "loss/prior": self.settings.prior.weight}
        return {f"loss/{name}": weight for name, weight in vars(self.settings.weights).items()}

    def _made_stage_one(self) -> StageOne:
        settings = self.settings
        return StageOne(
            denoiser=self._cast.scores.denoiser,
            banks=self._banks,
            prior=self._prior if settings.prior.weight > 0 else None,
            prior_weight=settings.prior.weight,
            sigmas=settings.sigmas,
            weighting=settings.weighting,
            seed=self.seed,
            accumulate=self._run.accumulate,
        )

    def _made_stage_two(self) -> StageTwo:
        settings, weights = self.settings, self.settings.weights
        return StageTwo(
            cast=self._cast,
            banks=self._banks,
            pairs=self._pairs() if weights.coupled > 0 else None,
            prior=self._prior if weights.anchor > 0 else None,
            weights=weights,
            dm=settings.dm,
            guidance=settings.base.guidance,
            fake=settings.fake,
            empty=self._run.pictures.prompt_embeds("").to(self.denoiser.device),
            seed=self.seed,
            accumulate=self._run.accumulate,
        )

    def _pairs(self) -> Bank:
        scores, coupled = self._cast.scores, self.settings.coupled
        return self._banks.pairs(
            Grid(scores.denoiser, coupled.teacher_steps),
            size=coupled.bank_size,
            root=self._run.folder / "pairs",
            teacher=lambda embeds: scores.velocity(embeds, TEACHER),
            weights=self._cast.digest(TEACHER),
            seed=self.seed,
        )

    @property
    def _further_parts(self) -> dict[str, int | None]:
        """Names of the adapters besides student and assistant, with their rank."""
        if not self.settings.has_stage_two:
            return {}
        fake = {FAKE: self.settings.fake.rank} if self.settings.weights.dm > 0 else {}
        return {TEACHER: None, **fake}

    @property
    def _kept(self) -> dict[str, torch.nn.Module]:
        """Names the adapters that a checkpoint holds, with the networks that carry them."""
        scores = self._cast.scores.denoiser.transformer
        return {STUDENT: self.transformer, **dict.fromkeys(self._further_parts, scores)}


def _smoothed(known: Tensor | None, new: Tensor) -> Tensor:
    return new.clone() if known is None else torch.lerp(known, new, SMOOTHING)
