"""Fills a network from its tensors one by one: each is quantised as it comes and the original is dropped.

The peak on the device is the finished network and one layer; where blocks wait in main memory, what they hold never
stays on the device at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from loralab.errors import UserError
from loralab.linears import frozen_linear


@dataclass(frozen=True)
class Holding:
    """How a network's weights are held.

    Attributes:
        device: where it computes.
        dtype: of what is not quantised.
        kind: int8, fp8, nf4, or None for `dtype` throughout.
        low_bit: take the products of int8 and fp8 in themselves.
        quantized: pattern that the whole name of a linear layer must match to be quantised.
        waiting: says of a tensor's name whether it stays in main memory.
    """

    device: torch.device
    dtype: torch.dtype
    kind: str | None = None
    low_bit: bool = False
    quantized: str = ""
    waiting: Callable[[str], bool] = lambda name: False


def empty(build: Callable[[], nn.Module]) -> nn.Module:
    """Builds a network whose parameters have shapes only; what it computes itself (buffers) is there."""
    from accelerate import init_empty_weights

    settings: Any = torch.utils.deterministic
    filling = settings.fill_uninitialized_memory
    # Under deterministic algorithms torch would write NaN into each parameter before it is made empty: gigabytes.
    settings.fill_uninitialized_memory = False
    try:
        with init_empty_weights(include_buffers=False):
            return build()
    finally:
        settings.fill_uninitialized_memory = filling


def fill(network: nn.Module, tensors: Iterable[tuple[str, Tensor]], holding: Holding) -> nn.Module:
    """Gives the network, built on the meta device, its tensors by name; it is frozen afterwards.

    Raises:
        UserError: if a tensor has no place, another shape, or is missing.
    """
    missing = {name for name, _ in network.named_parameters()}
    for name, tensor in tensors:
        if name not in missing:
            raise UserError(
                f"{type(network).__name__} has no parameter {name}: the weights are of another model."
            )
        missing.discard(name)
        _place(network, name, tensor, holding)
        del tensor  # or it would live until the next one is read
    if missing:
        raise UserError(
            f"{len(missing)} parameters of {type(network).__name__} are not in the files, for example {min(missing)}."
        )
    for module in network.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.device.type == "cpu" and not isinstance(module, nn.Linear):
                module._buffers[name] = buffer.to(holding.device)
    return network.requires_grad_(False).eval()


def tensors_of(files: Sequence[Path], *, skipped: Collection[str] = ()) -> Iterator[tuple[str, Tensor]]:
    """Reads safetensors files tensor by tensor, each from the disk when it is its turn; `skipped` ones never."""
    from safetensors import safe_open

    for file in files:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118  it is no mapping
                if name not in skipped:
                    yield name, opened.get_tensor(name)


def _place(network: nn.Module, name: str, tensor: Tensor, holding: Holding) -> None:
    path, _, leaf = name.rpartition(".")
    module = network.get_submodule(path)
    expected = module._parameters[leaf]
    assert expected is not None
    if expected.shape != tensor.shape:
        raise UserError(
            f"{name} is {tuple(tensor.shape)} in the files and {tuple(expected.shape)} in this model: another size."
        )
    home = torch.device("cpu") if holding.waiting(name) else holding.device
    tensor = tensor.to(holding.device)
    if _is_quantized(module, path, leaf, holding):
        assert holding.kind is not None
        layer = frozen_linear(tensor, bias=None, kind=holding.kind, low_bit=holding.low_bit).to(home)
        layer.register_parameter("bias", module._parameters["bias"])  # which may come later: no copy before
        network.set_submodule(path, layer)
        return
    if tensor.is_floating_point():
        tensor = tensor.to(holding.dtype)
    module._parameters[leaf] = nn.Parameter(tensor.to(home), requires_grad=False)


def _is_quantized(module: nn.Module, path: str, leaf: str, holding: Holding) -> bool:
    wanted = holding.kind is not None and leaf == "weight" and isinstance(module, nn.Linear)
    return wanted and re.fullmatch(holding.quantized, path) is not None
