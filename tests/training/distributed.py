"""Two processes that train together; the first is told by its trial to stop. Each writes where it ended."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, TensorDataset

from loralab.training.pruning import Pruning


class Line(lightning.LightningModule):
    """One weight."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return self.layer(batch[0]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class EverySecondStep(lightning.Callback):
    """Measures at each second step."""

    def __init__(self) -> None:
        self.history: list[tuple[int, float]] = []

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % 2 == 0:
            self.history.append((trainer.global_step, 1.0))


def main(folder: Path) -> None:
    """Trains 20 steps, or fewer."""
    warnings.simplefilter("ignore")
    measured = EverySecondStep()
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_steps=20, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[measured],
    )  # fmt: skip
    report = (lambda step, loss: step >= 6) if trainer.is_global_zero else None
    trainer.callbacks.append(pruning := Pruning(measured, report=report))
    trainer.fit(Line(), DataLoader(TensorDataset(torch.ones(64, 1)), batch_size=1))
    (folder / str(trainer.global_rank)).write_text(f"{trainer.global_step} {pruning.step}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
