"""The two families' tiny transformers, held and run as a placement would, and the gradients of a few steps."""

from __future__ import annotations

import functools
from typing import Any

import torch
from tests.adapter.twins import KLEIN, ZIMAGE, Twin, randomise
from torch import Tensor, nn

from loralab.adapter import LoraSpec, adapter_parameters, inject
from loralab.families.flux2_klein import attention as klein_attention
from loralab.families.flux2_klein import components as klein
from loralab.families.z_image import attention as zimage_attention
from loralab.families.z_image import components as zimage
from loralab.memory.loading import Holding, empty, fill

CPU = torch.device("cpu")
QUANTIZED = {KLEIN.name: klein.QUANTIZED, ZIMAGE.name: zimage.QUANTIZED}
PROCESSORS = {
    KLEIN.name: klein_attention.use_processors,
    ZIMAGE.name: zimage_attention.use_processors,
}


def held(twin: Twin, kind: str | None = None, *, ours: bool = True) -> nn.Module:
    """Gives a twin's frozen transformer in a format, with our attention in it unless it shall be diffusers' own."""
    if kind is None:
        network = twin.base().requires_grad_(False)
    else:
        holding = Holding(CPU, torch.float32, kind=kind, quantized=QUANTIZED[twin.name])
        network = fill(empty(twin.make), twin.base().state_dict().items(), holding)
    return PROCESSORS[twin.name](network) if ours else network


def adapted(twin: Twin, network: nn.Module, **spec: Any) -> nn.Module:
    """Gives a network a random adapter on its blocks."""
    made = LoraSpec(**{"rank": 4, "alpha": 8.0, "targets": "attention_mlp", **spec})
    inject(network, made, pattern=twin.targets.get(made.targets, made.targets))
    randomise(network)
    return network


def gradients(twin: Twin, network: nn.Module, *, num_steps: int = 2) -> list[Tensor]:
    """Trains for a few steps and gives all of each step's gradients in one tensor."""
    parameters = adapter_parameters(network)
    optimizer = torch.optim.SGD(parameters, lr=1e-2)
    found = []
    for _ in range(num_steps):
        optimizer.zero_grad()
        twin.answer(network).square().mean().backward()
        found.append(torch.cat([parameter.grad.flatten() for parameter in parameters]))  # type: ignore[union-attr]
        optimizer.step()
    return found


def plain_gradients(twin: Twin, kind: str | None = None) -> list[Tensor]:
    """Gives the gradients of a transformer whose blocks nobody runs for it, dense with diffusers' own attention."""
    return _plain_gradients(twin.name, kind)


@functools.cache
def _plain_gradients(name: str, kind: str | None) -> list[Tensor]:
    twin = {KLEIN.name: KLEIN, ZIMAGE.name: ZIMAGE}[name]
    return gradients(twin, adapted(twin, held(twin, kind, ours=kind is not None)))


def error(found: Tensor, exact: Tensor) -> float:
    """Gives the relative error of a tensor."""
    found, exact = found.detach().float(), exact.detach().float()
    return float((found - exact).norm() / exact.norm())
