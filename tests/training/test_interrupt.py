"""Signals are the run's own while it trains, and nobody's afterwards."""

from __future__ import annotations

import functools
import gc
import signal
import weakref
from typing import Any

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from loralab.training.interrupt import SIGNALS, Interrupt
from loralab.training.trainer import build_trainer, fit


class Line(lightning.LightningModule):
    """Fits one number, and fails at its second step if told to."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        self.layer, self.fails = torch.nn.Linear(1, 1), fails

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        if self.fails and batch_idx == 1:
            raise RuntimeError("broken on purpose")
        return self.layer(batch).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trained(module: Line) -> None:
    """Takes three steps with signals handled."""
    factory: Any = functools.partial(lightning.Trainer, accelerator="cpu", devices=1)
    trainer = build_trainer(factory, num_steps=3, accumulate=1, loggers=[], callbacks=[Interrupt()])
    fit(trainer, module, loader=DataLoader(torch.ones(8, 1)), resume_from=None)  # type: ignore[arg-type]


def test_nothing_of_a_training_is_kept_alive_by_its_signal_handlers() -> None:
    module = Line()
    gone = weakref.ref(module)

    trained(module)
    del module
    gc.collect()

    assert gone() is None


@pytest.mark.parametrize("fails", [False, True])
def test_the_handlers_of_before_come_back(fails: bool) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]

    if fails:
        with pytest.raises(RuntimeError, match="on purpose"):
            trained(Line(fails=True))
    else:
        trained(Line())

    assert [signal.getsignal(number) for number in SIGNALS] == before
