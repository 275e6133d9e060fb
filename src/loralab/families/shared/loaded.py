"""What every family does alike with its networks: they stand in `Components`."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

from loralab.denoiser import Component, Model
from loralab.families.shared.components import Components
from loralab.memory import Placement

LoadedT = TypeVar("LoadedT", bound="Loaded")


class Loaded(Model):
    """A model that loads, places and frees its networks by way of `Components`."""

    _components: Components

    def place(self, placement: Placement) -> None:
        """Sets device, precision and how the transformer's blocks run."""
        self._components.place(placement)

    def release(self, component: Component) -> None:
        """Frees a component."""
        self._components.release(component)

    def with_transformer(self: LoadedT, transformer: nn.Module) -> LoadedT:
        """Gives this checkpoint with another network in the transformer's place (wrapped, quantised, oracle)."""
        other = copy.copy(self)
        other._components = self._components.holding("transformer", transformer)
        return other
