"""Puts the global random state (adapter dropout draws from it) into checkpoints and back."""

from __future__ import annotations

from typing import Any

import lightning
import torch


class Randomness(lightning.Callback):
    """Restores the generators of a checkpoint just before the first resumed step."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        """Starts with nothing to restore; a trial beside others draws from a generator of its own, on the CPU."""
        self._generator = generator
        self._loaded: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Gives the state of the CPU generator and of every CUDA generator."""
        own = torch.get_rng_state() if self._generator is None else self._generator.get_state()
        return {"cpu": own, "cuda": torch.cuda.get_rng_state_all()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps the state until training starts: what the trainer does in between may draw numbers."""
        self._loaded = state_dict

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Sets the generators."""
        if self._loaded is not None and self._generator is not None:
            self._generator.set_state(self._loaded["cpu"].cpu())
        elif self._loaded is not None:
            torch.set_rng_state(self._loaded["cpu"].cpu())
            torch.cuda.set_rng_state_all([state.cpu() for state in self._loaded["cuda"]])
