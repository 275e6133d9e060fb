"""How large the update is on a spread of layers, and how fast it moves: a few small products a step, nothing built.

Largest singular value of scale * B @ A by the power method, one iteration a call, going on from the last one's v:

    u = scale * B (A v),   w = scale * A^T (B^T u),   |u| -> sigma_max from below,   v <- w / |w|

(Golub and Van Loan, Matrix Computations, 4th edition, section 8.2, on the update's Gram matrix). It is told as a
share of the base weight's own sigma_max, so that it compares between models. The movement is
|B_now - B_before| / |B_now|. DoRA's row lengths are not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.adapter.layers import TRAINED, adapter_layers
from loralab.adapter.norms import base_weight

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

NUM_LAYERS = 16
ITERATIONS = 24
"""For a base weight, once: to a few percent."""


class UpdateProbe:
    """Measures the update on at most NUM_LAYERS layers, evenly spread over the transformer."""

    @torch.no_grad()
    def __init__(self, transformer: nn.Module, *, name: str = TRAINED) -> None:
        """Measures the base's weights, and takes the adapter as it is for the start of its way."""
        layers = list(adapter_layers(transformer, name=name).values())
        count = min(NUM_LAYERS, len(layers))
        chosen = [layers[index * len(layers) // count] for index in range(count)]
        self._a = [layer.lora_A[name].weight for layer in chosen]
        self._b = [layer.lora_B[name].weight for layer in chosen]
        self._scales = [float(layer.scaling[name]) for layer in chosen]
        self._v = [_direction(a.shape[1], device=a.device) for a in self._a]
        self._base = torch.stack(
            [_base_norm(layer, device=a.device) for layer, a in zip(chosen, self._a, strict=True)]
        )
        self._before = [b.detach().clone() for b in self._b]

    @torch.no_grad()
    def measure(self) -> Float[Tensor, " 2"]:
        """Gives the largest relative spectral norm and the movement since the last call, on the adapter's device."""
        found = []
        for index, (a, b, scale) in enumerate(zip(self._a, self._b, self._scales, strict=True)):
            u = scale * (b @ (a @ self._v[index]))
            w = a.T @ (b.T @ u)
            length = w.norm()
            self._v[index] = torch.where(length > 0, w / length.clamp(min=1e-30), self._v[index])
            found.append(u.norm())
        moved = torch._foreach_sub([b.detach() for b in self._b], self._before)
        torch._foreach_copy_(self._before, [b.detach() for b in self._b])
        size = torch.stack(torch._foreach_norm(self._before)).norm()
        movement = torch.stack(torch._foreach_norm(moved)).norm() / size.clamp(min=1e-30)
        return torch.stack([(torch.stack(found) / self._base).max(), movement])


def _direction(width: int, *, device: torch.device) -> Float[Tensor, " in"]:
    """Gives a fixed unit vector; no global random state is touched."""
    drawn = torch.randn(width, generator=torch.Generator().manual_seed(0))
    return (drawn / drawn.norm()).to(device)


def _base_norm(layer: LoraLayer, *, device: torch.device) -> Float[Tensor, ""]:
    weight = base_weight(layer).to(device)
    v = _direction(weight.shape[1], device=device)
    for _ in range(ITERATIONS):
        v = weight.T @ (weight @ v)
        v = v / v.norm().clamp(min=1e-30)
    return (weight @ v).norm().clamp(min=1e-30)
