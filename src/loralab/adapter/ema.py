"""Exponential moving average of the adapter's tensors.

After step n, the average of x_1 ... x_n at decay d is their mean under the weights d^(n-i):

    average_n = average_{n-1} + (1 - d) / (1 - d^n) * (x_n - average_{n-1})

The weights are normalised as those of Adam's moments are (Kingma & Ba 2014, arXiv:1412.6980, section 3).
Without that, an adapter that begins at B = 0 would be averaged with zero for its first 1 / (1 - d) steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from loralab.adapter.layers import TRAINED
from loralab.adapter.lora import named_tensors
from loralab.errors import UserError


class Ema:
    """The running average; `average` has the keys of `adapter_state` and lives where the adapter lives."""

    def __init__(self, decay: float) -> None:
        if not 0 < decay < 1:
            raise UserError(f"EMA decay {decay} is outside (0, 1); 0.99 averages about the last 100 steps.")
        self.decay = decay
        self.num_updates = 0
        self.average: dict[str, Tensor] = {}
        self._source: tuple[nn.Module, str] | None = None
        self._pairs: tuple[list[Tensor], list[Tensor]] = ([], [])

    @torch.no_grad()
    def update(self, transformer: nn.Module, *, name: str = TRAINED) -> None:
        """Takes the adapter as it is now into the average; call it after every step, on the same layers."""
        if self._source != (transformer, name):
            self._collect(transformer, name=name)
        self.num_updates += 1
        weight = (1 - self.decay) / (1 - self.decay**self.num_updates)
        averages, tensors = self._pairs
        torch._foreach_lerp_(averages, tensors, weight)

    def state_dict(self) -> dict[str, Any]:
        """Copies everything that resuming needs to the CPU."""
        average = {key: tensor.to("cpu", copy=True) for key, tensor in self.average.items()}
        return {"num_updates": self.num_updates, "average": average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a `state_dict`, bit for bit."""
        self.num_updates = int(state["num_updates"])
        self.average = {key: tensor.clone() for key, tensor in state["average"].items()}
        self._source = None

    def _collect(self, transformer: nn.Module, *, name: str) -> None:
        """Lines up averages and tensors, once: walking through all modules takes longer than a step's arithmetic."""
        tensors = named_tensors(transformer, name=name)
        for key, tensor in tensors.items():
            known = self.average.get(key)
            self.average[key] = tensor.detach().clone() if known is None else known.to(tensor.device)
        self._source = (transformer, name)
        self._pairs = ([self.average[key] for key in tensors], list(tensors.values()))
