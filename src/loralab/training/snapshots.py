"""Saves the adapter (a snapshot, to use) and the trainer's state (a checkpoint, to resume); keeps the newest few.

Nothing that is not finite is ever written, so the last snapshot on disk is always a good one.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch

from loralab.adapter import AdapterMetadata, Ema, adapter_parameters, all_finite, export_adapter, update_norms
from loralab.files import atomic_path
from loralab.optim import averaged
from loralab.training.folder import RunFolder
from loralab.training.step_log import TrainingDivergedError

log = logging.getLogger(__name__)
FREE_SPACE_FACTOR = 1.5


class Snapshots(lightning.Callback):
    """Writes a snapshot and a checkpoint every `every` steps, at the end, and when the run is asked to stop."""

    def __init__(
        self,
        folder: RunFolder,
        *,
        every: int,
        keep: int,
        prefix: str,
        metadata: Callable[[int], AdapterMetadata],
        ema: Ema | None,
    ) -> None:
        """Keeps the newest `keep` snapshots (0 keeps all); exports the moving average where there is one."""
        self._folder = folder
        self._every = every
        self._keep = keep
        self._prefix = prefix
        self._metadata = metadata
        self._ema = ema
        self._step = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Notes the step from which training goes on."""
        self._step = trainer.global_step

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Updates the moving average at each step and saves when it is time."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        transformer = _transformer(pl_module)
        if self._ema is not None:
            self._ema.update(transformer)
        if self._step % self._every == 0 or self._step == trainer.max_steps or trainer.should_stop:
            self._save(trainer, transformer)

    def state_dict(self) -> dict[str, Any]:
        """Keeps the moving average over a resume."""
        return {} if self._ema is None else {"ema": self._ema.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the moving average up again."""
        if self._ema is not None and "ema" in state_dict:
            self._ema.load_state_dict(state_dict["ema"])

    def _save(self, trainer: lightning.Trainer, transformer: torch.nn.Module) -> None:
        if not all_finite(transformer):
            raise TrainingDivergedError(f"the adapter is no longer finite at step {self._step}")
        self._require_space(transformer)
        with averaged(trainer.optimizers[0]):
            self._log_norms(trainer, transformer)
            self._export(transformer, self._folder.snapshot(self._step))
        with atomic_path(self._folder.checkpoint) as temporary:
            trainer.save_checkpoint(temporary, weights_only=False)
        for old in self._folder.snapshots()[: -self._keep] if self._keep else []:
            old.unlink()

    def _export(self, transformer: torch.nn.Module, path: Path) -> None:
        state = None if self._ema is None else self._ema.average
        metadata = self._metadata(self._step)
        export_adapter(transformer, path, prefix=self._prefix, metadata=metadata, state=state)

    def _log_norms(self, trainer: lightning.Trainer, transformer: torch.nn.Module) -> None:
        norms = update_norms(transformer)
        summary = {
            "update_norm/mean": sum(norms.values()) / len(norms),
            "update_norm/min": min(norms.values()),
            "update_norm/max": max(norms.values()),
        }
        for logger in trainer.loggers:
            logger.log_metrics(summary, step=self._step)
        line = json.dumps({"step": self._step, **{name: round(norm, 6) for name, norm in norms.items()}})
        with (self._folder.root / "update_norms.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _require_space(self, transformer: torch.nn.Module) -> None:
        bytes_needed = (
            FREE_SPACE_FACTOR * 4 * sum(p.numel() * p.element_size() for p in adapter_parameters(transformer))
        )
        free = shutil.disk_usage(self._folder.root).free
        if free < bytes_needed:
            log.warning(
                "%s has %.2f GiB free; this snapshot and checkpoint may need %.2f GiB: free some space now",
                self._folder.root,
                free / 2**30,
                bytes_needed / 2**30,
            )


def _transformer(module: lightning.LightningModule) -> torch.nn.Module:
    transformer = module.transformer
    assert isinstance(transformer, torch.nn.Module)
    return transformer
