"""What a run's steps leave in its log, with the trainer that runs use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from loralab.loggers import JsonlLogger
from loralab.loggers.jsonl import read_metrics
from loralab.training.progress import Progress
from loralab.training.step_log import StepLog, TrainingDivergedError
from loralab.training.trainer import build_trainer, fit

NAN = float("nan")


class Line(lightning.LightningModule):
    """Its loss at a micro-step is that micro-step's number, and so is its gradient; its error is twice as much."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.num_seen = 0

    def training_step(self, number: torch.Tensor, batch_idx: int) -> dict[str, torch.Tensor]:
        self.num_seen += 1
        loss = self.weight * number
        return {"loss": loss, "error": 2 * loss.detach()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trained(
    folder: Path,
    numbers: Sequence[float],
    *callbacks: lightning.Callback,
    accumulate: int = 1,
    module: Line | None = None,
) -> list[dict[str, Any]]:
    """Trains on these numbers and gives the lines of the log."""
    trainer = build_trainer(
        partial(lightning.Trainer, accelerator="cpu"),
        num_steps=len(numbers) // accumulate,
        accumulate=accumulate,
        loggers=[JsonlLogger(folder / "metrics.jsonl")],
        callbacks=callbacks,
    )
    loader = DataLoader([torch.tensor(number) for number in numbers], batch_size=None)
    fit(trainer, module or Line(), loader=loader, resume_from=None)
    return read_metrics(folder / "metrics.jsonl")


def test_every_so_many_steps_are_logged_in_order_each_with_its_own_numbers(tmp_path: Path) -> None:
    lines = trained(tmp_path, [1.0, 2.0, 3.0, 4.0, 5.0], StepLog(every=2))

    assert [line["step"] for line in lines] == [1, 2, 4]
    assert [line["train/loss"] for line in lines] == [2.0, 4.0, 8.0]
    assert [line["train/gradient_norm"] for line in lines] == [1.0, 2.0, 4.0]
    assert all(line["train/seconds_per_step"] > 0 and line["train/learning_rate"] == 0 for line in lines)


def test_a_step_of_several_micro_steps_logs_their_mean(tmp_path: Path) -> None:
    lines = trained(tmp_path, [1.0, 3.0, 5.0, 9.0], StepLog(every=1), accumulate=2)

    assert [(line["step"], line["train/loss"]) for line in lines] == [(1, 4.0), (2, 14.0)]
    assert [line["train/gradient_norm"] for line in lines] == [2.0, 7.0]


@pytest.mark.parametrize("bad_step", [1, 3, 6])
@pytest.mark.parametrize("bad", [NAN, float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run_one_step_later_and_is_named(
    tmp_path: Path, bad_step: int, bad: float
) -> None:
    numbers, module = [1.0] * 6, Line()
    numbers[bad_step - 1] = bad

    with pytest.raises(TrainingDivergedError, match=rf"the loss became {bad} at step {bad_step}$"):
        trained(tmp_path, numbers, StepLog(every=1), module=module)

    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert module.num_seen == min(bad_step + 1, 6)
    assert [line["step"] for line in lines] == list(range(1, bad_step + 1))
    assert lines[-1]["train/loss"] is None


class Fail(lightning.Callback):
    """Fails at the end of the third step."""

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step == 3:
            raise OSError("the disk is full")


def test_what_was_measured_before_a_run_fails_is_logged(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the disk is full"):
        trained(tmp_path, [1.0] * 6, StepLog(every=1), Fail())

    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3]


def test_a_loss_that_is_not_finite_does_not_hide_why_a_run_failed(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the disk is full"):
        trained(tmp_path, [1.0, 1.0, NAN, 1.0], StepLog(every=1), Fail())


class Save(lightning.Callback):
    """Saves a checkpoint after the second step and reads the log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[dict[str, Any]] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step == 2:
            trainer.save_checkpoint(self.folder / "at_two.ckpt")
            self.lines = read_metrics(self.folder / "metrics.jsonl")


def test_a_checkpoint_leaves_no_step_behind_it_unlogged(tmp_path: Path) -> None:
    save = Save(tmp_path)

    lines = trained(tmp_path, [1.0, 2.0, 3.0], StepLog(every=1), save)

    assert [line["step"] for line in save.lines] == [1, 2]
    assert [line["step"] for line in lines] == [1, 2, 3]


def test_the_bar_ends_with_the_loss_of_the_last_tenth_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path, [*[9.0] * 9, 1.0], StepLog(every=10), Progress())

    shown = capsys.readouterr().err.splitlines()[-1]
    assert "10/10" in shown
    assert "loss=2.0000" in shown
