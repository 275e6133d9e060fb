"""One loop for all trainings of a nano twin: against the clock, logged, saved atomically, resumable.

The host waits for the device only where it logs, every 50 steps: a gradient that is not finite is told then, before
the next save. What is logged is told on the screen too, at most every ten seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from loralab.errors import UserError
from loralab.files import atomic_path
from loralab.nano.budget import Budget
from loralab.nano.recorded import Figures, Recorded

LOG_EVERY, LOG_EVERY_S, SAVE_EVERY_S = 50, 10.0, 45.0
LossOf = Callable[..., tuple[Tensor, Figures]]


def _nothing() -> Sequence[Tensor]:
    return ()


class Fit:
    """A training: its modules, optimizer, step count and files (`<name>_state.pt`, `<name>_log.jsonl`).

    Args:
        name: of the files.
        out: their folder.
        modules: what a state holds.
        parameters: what is learnt.
        peak_lr: learning rate after warm-up.
        began: `time.monotonic()` when the command began; its minutes count from there.
        is_recorded: whether each kind of step is a CUDA graph (loralab.nano.recorded): on a GPU only, and the loss may
            depend on what the draw gives and on nothing else of the host.
        save_every_s: seconds between two saved states.
    """

    def __init__(
        self,
        name: str,
        out: Path,
        *,
        modules: Mapping[str, nn.Module],
        parameters: Any,
        peak_lr: float,
        began: float | None = None,
        is_recorded: bool = False,
        save_every_s: float = SAVE_EVERY_S,
    ) -> None:
        self.name, self.modules, self.peak_lr, self.step = name, modules, peak_lr, 0
        self.parameters, self.is_recorded, self.save_every_s = list(parameters), is_recorded, save_every_s
        options: dict[str, Any] = {"lr": peak_lr, "betas": (0.9, 0.99), "weight_decay": 0.01}
        if (
            is_recorded
        ):  # a graph reads the rate where it is; not fused, which is strict about tensors' layouts
            rate = torch.tensor(peak_lr, device=self.parameters[0].device)
            options |= {"lr": rate, "capturable": True, "foreach": True}
        self.optimizer = torch.optim.AdamW(self.parameters, **options)
        self.state_path, self.log_path = out / f"{name}_state.pt", out / f"{name}_log.jsonl"
        self._began = time.monotonic() if began is None else began
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
        if "optimizer" in state:  # a state that was copied for its weights alone has none
            ours = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({**state["optimizer"], "param_groups": ours})
        self.step, self._spent_s = state["step"], state["spent_s"]

    def run(
        self,
        loss_of: LossOf,
        *,
        minutes: float,
        draw: Callable[[], Sequence[Tensor]] = _nothing,
        warmup_steps: int = 100,
        after_step: Callable[[int], None] = lambda step: None,
    ) -> None:
        """Steps until the minutes are spent. `loss_of` makes of what `draw` gives the loss and figures for the log."""
        budget = Budget(minutes, spent_s=self._spent_s + time.monotonic() - self._began)
        update: Callable[..., Figures] = self._updating(loss_of)
        update, means = Recorded(update) if self.is_recorded else update, _Means()
        told = logged = saved = time.monotonic()
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("a", encoding="utf-8", buffering=1) as log:
            while not budget.over:
                self._set_rate(self.peak_lr * budget.factor(self.step, warmup_steps=warmup_steps))
                means.add(update(*draw()))
                self.step += 1
                after_step(self.step)
                now = time.monotonic()
                if self.step % LOG_EVERY == 0 or now - logged > LOG_EVERY_S:
                    row = self._row(means, spent_s=budget.spent_s, step_s=(now - logged) / means.count)
                    log.write(json.dumps(row) + "\n")
                    logged, means = time.monotonic(), _Means()
                    if logged - told > LOG_EVERY_S:
                        print(f"{self.name} {json.dumps(row)}", flush=True)
                        told = logged
                    if logged - saved > self.save_every_s:
                        self._spent_s = budget.spent_s
                        self.save()
                        saved = time.monotonic()
            if means.count:
                self._row(means, spent_s=budget.spent_s, step_s=0)
        self._spent_s = budget.spent_s
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

    def _updating(self, loss_of: LossOf) -> Callable[..., Figures]:
        """A step without any wait for the device."""

        def update(*drawn: Tensor) -> Figures:
            loss, figures = loss_of(*drawn)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            return {"loss": loss.detach(), "norm": norm, **figures}

        return update

    def _set_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _row(self, means: _Means, *, spent_s: float, step_s: float) -> dict[str, float]:
        """What is logged of the steps since the last row.

        Raises:
            FloatingPointError: if a gradient was not finite.
        """
        figures = means.values()
        if not torch.isfinite(torch.tensor(figures["norm"])):
            raise FloatingPointError(
                f"the gradient is not finite at step {self.step}: lower --peak-lr and resume."
            )
        return {"step": self.step, "s": round(spent_s), "ms": round(1000 * step_s, 1), **figures}


class _Means:
    """Means of figures that stay on their device until they are asked for."""

    def __init__(self) -> None:
        self.count, self._sums = 0, dict[str, "float | Tensor"]()

    def add(self, figures: Figures) -> None:
        self.count += 1
        for key, value in figures.items():
            self._sums[key] = self._sums.get(key, 0.0) + value

    def values(self) -> dict[str, float]:
        return {key: round(float(total) / self.count, 5) for key, total in self._sums.items()}


def save_state(state: Any, path: Path) -> None:
    """Writes tensors atomically, for `torch.load(..., weights_only=True)`."""
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def load_state(path: Path, *, command: str) -> Any:
    """The tensors of a state, on the CPU.

    Raises:
        UserError: if it is not there, naming the command that makes it.
    """
    if not path.is_file():
        raise UserError(
            f"{path} is not there: `python -m loralab.nano {command} --out {path.parent}` makes it."
        )
    return torch.load(path, map_location="cpu", weights_only=True)


def best_device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
