"""What objectives share that train the adapter alone by regressing velocities: no teacher, no stages, one optimizer."""

from __future__ import annotations

from typing import Any

from loralab.flow import SigmaSampler
from loralab.flow.weighting import Weighting
from loralab.objectives.objective import ModelT, Objective, OptimizerFactory, ScheduleFactory, Surroundings


class Regression(Objective[ModelT]):
    """Trains the adapter inside a denoiser's transformer, which alone is optimised."""

    def __init__(
        self,
        denoiser: ModelT,
        *,
        sigmas: SigmaSampler,
        weighting: Weighting,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory,
        seed: int,
    ) -> None:
        """Takes a denoiser whose transformer already carries the adapter."""
        super().__init__(denoiser, sigmas=sigmas, seed=seed)
        self.weighting = weighting
        self._optimizer = optimizer
        self._schedule = schedule

    def prepare(self, surroundings: Surroundings) -> None:
        """Needs nothing more."""

    @property
    def judged(self) -> ModelT:
        """The denoiser with the adapter."""
        return self.denoiser

    @property
    def teacher_name(self) -> None:
        """There is no teacher."""
        return None

    @property
    def judged_from(self) -> int:
        """From the start."""
        return 0

    @property
    def reference_names(self) -> tuple[str, ...]:
        """Nor a reference: the adapter itself goes to the optimum."""
        return ()

    def readings(self) -> dict[str, float]:
        """Nor anything but its loss."""
        return {}

    def configure_optimizers(self) -> Any:
        """Gives the optimizer over the adapter's parameters and its schedule, stepped once per optimizer step."""
        optimizer = self._optimizer([p for p in self.transformer.parameters() if p.requires_grad])
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self._schedule(optimizer), "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the adapter and drops the frozen base, which its own files hold."""
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}
