"""One loop for all trainings of a nano twin: against the clock, logged, saved atomically, resumable."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from loralab.errors import UserError
from loralab.files import atomic_path
from loralab.nano.budget import Budget

LOG_EVERY = 50
SAVE_EVERY_S = 180.0
LossOf = Callable[[], tuple[Tensor, Mapping[str, float]]]


class Fit:
    """A training of `minutes`: its modules, optimizer, step count and files (`<name>_state.pt`, `<name>_log.jsonl`)."""

    def __init__(
        self, name: str, out: Path, *, modules: Mapping[str, nn.Module], parameters: Any, peak_lr: float
    ) -> None:
        self.modules, self.peak_lr, self.step = modules, peak_lr, 0
        self.parameters = list(parameters)
        self.optimizer = torch.optim.AdamW(self.parameters, peak_lr, betas=(0.9, 0.99), weight_decay=0.01)
        self.state_path, self.log_path = out / f"{name}_state.pt", out / f"{name}_log.jsonl"
        self._spent_s = 0.0

    def resume(self, allowed: bool) -> None:
        """Takes up the saved state; a state that is there without leave to use it is a mistake to be told."""
        if not self.state_path.exists():
            return
        if not allowed:
            raise UserError(
                f"{self.state_path} is a training already: add --resume, or choose another --out."
            )
        state = torch.load(self.state_path, map_location="cpu", weights_only=True)
        for key, module in self.modules.items():
            module.load_state_dict(state[key])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self._spent_s = state["step"], state["spent_s"]

    def run(
        self,
        loss_of: LossOf,
        *,
        minutes: float,
        warmup_steps: int = 100,
        after_step: Callable[[int], None] = lambda step: None,
    ) -> None:
        """Steps until the minutes are spent. `loss_of` draws a batch and gives the loss and figures for the log."""
        budget, saved = Budget(minutes, spent_s=self._spent_s), time.monotonic()
        figures: list[dict[str, float]] = []
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("a", encoding="utf-8", buffering=1) as log:
            while not budget.over:
                figures.append(
                    self._update(loss_of, factor=budget.factor(self.step, warmup_steps=warmup_steps))
                )
                after_step(self.step)
                if self.step % LOG_EVERY == 0:
                    log.write(
                        json.dumps({"step": self.step, "s": round(budget.spent_s), **_means(figures)}) + "\n"
                    )
                    figures.clear()
                self._spent_s = budget.spent_s
                if time.monotonic() - saved > SAVE_EVERY_S:
                    self.save()
                    saved = time.monotonic()
        self.save()

    def save(self) -> None:
        """Writes the state atomically."""
        modules = {key: module.state_dict() for key, module in self.modules.items()}
        state = {
            "step": self.step,
            "spent_s": self._spent_s,
            "optimizer": self.optimizer.state_dict(),
            **modules,
        }
        save_state(state, self.state_path)

    def _update(self, loss_of: LossOf, *, factor: float) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.peak_lr * factor
        loss, figures = loss_of()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, 1.0)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"the gradient is not finite at step {self.step}: lower --peak-lr and resume."
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return {"loss": loss.item(), **figures}


def save_state(state: Any, path: Path) -> None:
    """Writes tensors atomically, for `torch.load(..., weights_only=True)`."""
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def best_device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _means(figures: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(sum(row[key] for row in figures) / len(figures), 5) for key in figures[0]}
