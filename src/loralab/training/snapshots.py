"""Saves the adapter (a snapshot, to use) and the trainer's state (a checkpoint, to resume); keeps the newest few.

Nothing that is not finite is ever written, so the last snapshot on disk is always a good one.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning
import torch

from loralab.adapter import AdapterMetadata, Ema, adapter_parameters, all_finite, export_adapter, update_norms
from loralab.files import atomic_path, atomic_write
from loralab.loggers.jsonl import read_metrics
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
        rename: Callable[[str], str] = str,
        header: Mapping[str, str] | None = None,
        metadata: Callable[[int], AdapterMetadata],
        ema: Ema | None,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """Keeps the newest `keep` snapshots (0 keeps all); exports the moving average where there is one.

        `before` is called each time before anything is written; `prefix`, `rename` and `header` are what
        `export_adapter` takes.
        """
        self._folder = folder
        self._every = every
        self._keep = keep
        self._names: dict[str, Any] = {"prefix": prefix, "rename": rename, "header": header}
        self._metadata = metadata
        self._ema = ema
        self._before = before
        self._step = 0
        self._good_step: int | None = None
        self.is_good = True
        self.rolled_back_to: int | None = None

    def is_due(self, trainer: lightning.Trainer) -> bool:
        """Says whether the step that has just ended is saved for its number's sake."""
        return trainer.global_step % self._every == 0 or trainer.global_step == trainer.max_steps

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Notes the step from which training goes on; forgets norms that a killed run wrote about later ones."""
        self._step = trainer.global_step
        if self._good_step == self._step:  # a kill may have left an older one
            self._folder.good_checkpoint.unlink(missing_ok=True)
        if self._norms_file.is_file():
            kept = [line for line in read_metrics(self._norms_file) if line["step"] <= self._step]
            atomic_write(self._norms_file, "".join(json.dumps(line) + "\n" for line in kept))

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Updates the moving average at each step and saves when it is time."""
        if trainer.global_step == self._step or self.rolled_back_to is not None:
            return
        self._step = trainer.global_step
        transformer = _transformer(pl_module)
        if self._ema is not None:
            self._ema.update(transformer)
        if self.is_due(trainer) or trainer.should_stop:
            self._save(trainer, transformer)

    def state_dict(self) -> dict[str, Any]:
        """Keeps the moving average, and which snapshot was the last good one, over a resume."""
        average = {} if self._ema is None else {"ema": self._ema.state_dict()}
        return average | {"good_step": self._good_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes both up again."""
        self._good_step = state_dict.get("good_step")
        if self._ema is not None and "ema" in state_dict:
            self._ema.load_state_dict(state_dict["ema"])

    def roll_back(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> int | None:
        """Restores adapter, optimizer, schedule and moving average as they were at the last good snapshot.

        Nothing is saved afterwards, and the checkpoint on disk is that snapshot's: a resume goes on from there. Gives
        its step; None where there is none, and then nothing is changed.
        """
        if self._good_step is None:
            return None
        kept = self._folder.good_checkpoint
        path = kept if kept.is_file() else self._folder.checkpoint
        state = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(state["state_dict"], strict=False)
        for optimizer, saved in zip(trainer.optimizers, state["optimizer_states"], strict=True):
            optimizer.load_state_dict(saved)
        for config, saved in zip(trainer.lr_scheduler_configs, state["lr_schedulers"], strict=True):
            config.scheduler.load_state_dict(saved)
        self.load_state_dict(state["callbacks"][self.state_key])
        if path == kept:
            kept.replace(self._folder.checkpoint)
        self.rolled_back_to = int(state["global_step"])
        return self.rolled_back_to

    def _save(self, trainer: lightning.Trainer, transformer: torch.nn.Module) -> None:
        self._before()
        if not all_finite(transformer):
            raise TrainingDivergedError(f"the adapter is no longer finite at step {self._step}")
        self._require_space(transformer)
        with averaged(trainer.optimizers[0]):
            self._log_norms(trainer, transformer)
            self._export(transformer, self._folder.snapshot(self._step))
        self._keep_good_checkpoint()
        with atomic_path(self._folder.checkpoint) as temporary:
            trainer.save_checkpoint(temporary, weights_only=False)
        if self.is_good:
            self._folder.good_checkpoint.unlink(missing_ok=True)
        good = None if self._good_step is None else self._folder.snapshot(self._good_step)
        for old in self._folder.snapshots()[: -self._keep] if self._keep else []:
            if old != good:
                old.unlink()

    def _keep_good_checkpoint(self) -> None:
        """Notes a good step; before a suspect one is written over the last good one, gives that a second name."""
        if self.is_good:
            self._good_step = self._step
        elif self._good_step is not None and not self._folder.good_checkpoint.is_file():
            try:
                os.link(self._folder.checkpoint, self._folder.good_checkpoint)
            except OSError:  # a file system without links
                with atomic_path(self._folder.good_checkpoint) as temporary:
                    shutil.copyfile(self._folder.checkpoint, temporary)

    def _export(self, transformer: torch.nn.Module, path: Path) -> None:
        state = None if self._ema is None else self._ema.average
        metadata = self._metadata(self._step)
        export_adapter(transformer, path, **self._names, metadata=metadata, state=state)

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
        with self._norms_file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    @property
    def _norms_file(self) -> Path:
        return self._folder.root / "update_norms.jsonl"

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
