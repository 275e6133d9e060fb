"""A stand-in for a transformer, with its layers' names and sizes and no weights: where a packed trial's adapter lives.

PEFT adds an adapter to it as to the transformer itself, drawing the same numbers. Export, norms, averages and
checkpoints find the adapter in it under the names that files use.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn


def shadow_of(transformer: nn.Module, *, device: torch.device) -> nn.Module:
    """Gives a transformer's stand-in; weights are one number, seen as a matrix.

    Args:
        transformer: bare: without adapters.
        device: where adapters are held.
    """
    made: nn.Module = _shadow_class()()
    _fill(made, transformer, device)
    return made.requires_grad_(False)


@functools.cache
def _shadow_class() -> Any:
    """Gives the class; inside a function, since importing diffusers takes seconds."""
    from diffusers.loaders import PeftAdapterMixin

    class Shadow(nn.Module, PeftAdapterMixin):
        """Named modules, to which PEFT adds adapters."""

    return Shadow


def _fill(made: nn.Module, original: nn.Module, device: torch.device) -> None:
    """Gives every module a counterpart, in the order of the original: PEFT draws in that order."""
    for name, child in original.named_children():
        if isinstance(child, nn.Linear):
            made.add_module(name, _linear(child, device))
        else:
            inner = nn.Module()
            made.add_module(name, inner)
            _fill(inner, child, device)


def _linear(original: nn.Linear, device: torch.device) -> nn.Linear:
    """Gives a layer of the same size and precision: PEFT rounds a new adapter to the base's precision."""
    made = nn.Linear(original.in_features, original.out_features, bias=False, device="meta")
    dtype = original._parameters["weight"].dtype if "weight" in original._parameters else torch.bfloat16  # type: ignore[union-attr]
    number = torch.zeros((), dtype=dtype, device=device)
    made.weight = nn.Parameter(
        number.expand(original.out_features, original.in_features), requires_grad=False
    )
    return made
