"""The adapters of one frozen transformer, and which of them answer: one network plays several parts in a step.

Adapters that are active together add up in each layer, W + sum of scale B A. Two rules keep gradients right:

    PEFT's set_adapters makes every adapter trainable that it activates and the others not; a switch between a
    forward and its backward pass then leaves the student without gradients, silently. Here a switch changes which
    adapters answer and nothing else.
    Checkpointed blocks run again in the backward pass, with whatever is active then. So a forward pass with gradients
    stays inside the `active` block that its backward pass is in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn

from loralab.adapter.layers import TRAINED, tuner_layers

STUDENT = TRAINED
ASSISTANT = "assistant"
"""Makes a distilled checkpoint a velocity regression model again; frozen, never exported."""
TEACHER = "teacher"
"""What the student was at the end of the first stage; frozen, never exported."""
FAKE = "fake"
"""Follows what the student draws; trained, never exported."""


class Roles:
    """Switches the adapters that a transformer has now; made anew when one is added or taken off."""

    def __init__(self, transformer: nn.Module) -> None:
        """Collects the layers once: walking through all modules takes longer than switching."""
        self._layers = list(tuner_layers(transformer).values())
        named = {name: p for layer in self._layers for name, p in _adapter_parameters(layer)}
        self._parameters = [p for layer in self._layers for _, p in _adapter_parameters(layer)]
        self._known = frozenset(named)

    @contextlib.contextmanager
    def active(self, *names: str) -> Iterator[None]:
        """Lets exactly these adapters answer inside the block, none for the bare base.

        Afterwards those answer that did before, and every adapter is as trainable as before.
        """
        before = [(layer._active_adapter, layer._disable_adapters) for layer in self._layers]
        trainable = [parameter.requires_grad for parameter in self._parameters]
        self.activate(*names)
        try:
            yield
        finally:
            for layer, (active, disabled) in zip(self._layers, before, strict=True):
                layer._active_adapter, layer._disable_adapters = active, disabled
            for parameter, flag in zip(self._parameters, trainable, strict=True):
                if parameter.requires_grad is not flag:
                    parameter.requires_grad_(flag)

    def activate(self, *names: str) -> None:
        """Lets exactly these adapters answer from now on.

        Raises:
            ValueError: if there is none of that name: PEFT would pass it over.
        """
        if unknown := [name for name in names if name not in self._known]:
            raise ValueError(f"no adapter is called {unknown[0]}; there are {', '.join(sorted(self._known))}")
        for layer in self._layers:
            layer._active_adapter = list(names)  # set_adapter would change requires_grad as well
            layer._disable_adapters = not names

    def train_only(self, *names: str) -> None:
        """Makes the parameters of these adapters trainable and those of all others frozen."""
        for layer in self._layers:
            for name, parameter in _adapter_parameters(layer):
                parameter.requires_grad_(name in names)


def _adapter_parameters(layer: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yields each parameter that an adapter has in a layer with the adapter's name."""
    for container in layer.adapter_layer_names:  # type: ignore[union-attr]
        for name, part in getattr(layer, container).items():
            if isinstance(part, nn.Parameter):
                yield name, part
                continue
            for parameter in part.parameters():
                yield name, parameter
