"""Copies between a trial's adapter (fp32, in its shadow) and its slot of the packed layers, in few kernels.

Copies of a list are one kernel where all are laid out alike. A's rows lie together in a slot whatever the rank, B's
columns for the largest rank only; therefore A and B are copied apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from loralab.packed.layer import PackedLinear

Parts = Sequence[Tensor] | None
"""A gradient, slot by slot; None where the pass left the layer out."""


@dataclass(frozen=True)
class Carried:
    """A trial's adapter and its place in the packed layers, lined up once.

    Attributes:
        rank: of the adapter.
        layers: those that it adapts.
        downs, ups: A and B of each layer.
        down_places, up_places: where they are in the slot.
    """

    rank: int
    layers: list[PackedLinear]
    downs: list[nn.Parameter]
    ups: list[nn.Parameter]
    down_places: list[Tensor]
    up_places: list[Tensor]

    def load(self) -> None:
        """Copies the adapter into the packed layers."""
        torch._foreach_copy_(self.down_places, tuple(self.downs))
        torch._foreach_copy_(self.up_places, tuple(self.ups))

    def take_gradients(self, slot: int, found: Mapping[PackedLinear, tuple[Parts, Parts]]) -> None:
        """Adds the slot's part of `gradients_by_slot` to the adapter's own gradients."""
        mine = [found[layer] for layer in self.layers]
        downs, ups = zip(self.downs, mine, strict=True), zip(self.ups, mine, strict=True)
        _add([(own, _first(down[slot], self.rank, dim=0)) for own, (down, _) in downs if down])
        _add([(own, _first(up[slot], self.rank, dim=1)) for own, (_, up) in ups if up])


def gradients_by_slot(layers: Sequence[PackedLinear]) -> dict[PackedLinear, tuple[Parts, Parts]]:
    """Takes the gradients of A and B away from packed layers."""
    return {layer: (_taken(layer.down), _taken(layer.up)) for layer in layers}


def _taken(parameter: nn.Parameter) -> Parts:
    gradient, parameter.grad = parameter.grad, None
    return None if gradient is None else gradient.unbind()


def _first(tensor: Tensor, rank: int, *, dim: int) -> Tensor:
    return tensor if tensor.shape[dim] == rank else tensor.narrow(dim, 0, rank)


def _add(taken: Sequence[tuple[nn.Parameter, Tensor]]) -> None:
    """Copies gradients for parameters that have none, in fp32, and adds them to those of earlier micro-batches.

    Copies are each trial's own: a part of a tensor of all would keep all of it as long as that trial's gradient lives.
    """
    known = [(parameter.grad, gradient) for parameter, gradient in taken if parameter.grad is not None]
    fresh = [(parameter, gradient) for parameter, gradient in taken if parameter.grad is None]
    made = [torch.empty_like(parameter) for parameter, _ in fresh]
    if known:
        torch._foreach_add_([before for before, _ in known], [gradient for _, gradient in known])
    if made:
        torch._foreach_copy_(made, [gradient for _, gradient in fresh])
    for (parameter, _), gradient in zip(fresh, made, strict=True):
        parameter.grad = gradient
