"""The linear layers of a transformer, bare or already adapted, under the names that files use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer

TRAINED = "adapter"
"""Name, inside the transformer, of the adapter that is trained and exported."""


def tuner_layers(transformer: nn.Module) -> dict[str, BaseTunerLayer]:
    """Gives every layer that PEFT has wrapped, by module name, whichever adapters it carries."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return {name: layer for name, layer in transformer.named_modules() if isinstance(layer, BaseTunerLayer)}


def adapter_layers(transformer: nn.Module, *, name: str = TRAINED) -> dict[str, LoraLayer]:
    """Gives the layers that carry the adapter `name`, by module name, in the transformer's order."""
    from peft.tuners.lora import LoraLayer

    layers = tuner_layers(transformer).items()
    return {key: layer for key, layer in layers if isinstance(layer, LoraLayer) and name in layer.lora_A}


def linear_layers(transformer: nn.Module) -> dict[str, nn.Linear]:
    """Gives every linear layer of the base by module name, looking through adapters that wrap it."""
    wrapped = tuner_layers(transformer)
    linears: dict[str, nn.Linear] = {}
    inside: str | None = None
    for name, module in transformer.named_modules():
        if inside is not None and name.startswith(inside):
            continue
        inside = f"{name}." if name in wrapped else None
        base = wrapped[name].get_base_layer() if name in wrapped else module
        if isinstance(base, nn.Linear):
            linears[name] = base
    return linears


@contextlib.contextmanager
def switches_restored(transformer: nn.Module) -> Iterator[None]:
    """Puts back, when the block ends, which adapters are active, enabled and trainable.

    PEFT makes every adapter trainable that it activates or enables: a frozen one would start to learn.
    """
    layers = list(tuner_layers(transformer).values())
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    trainable = [parameter.requires_grad for parameter in parameters]
    active = [list(layer.active_adapters) for layer in layers]
    disabled = [layer.disable_adapters for layer in layers]
    try:
        yield
    finally:
        for layer, names, off in zip(layers, active, disabled, strict=True):
            layer.set_adapter(names)
            layer.enable_adapters(not off)
        for parameter, flag in zip(parameters, trainable, strict=True):
            parameter.requires_grad_(flag)
