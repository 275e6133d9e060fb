"""The angle between the updates of two adapters on one transformer.

    <B1 A1, B2 A2> = trace(A1^T B1^T B2 A2) = sum((B1^T B2) * (A1 A2^T))

The products are never built. Scales are in it; DoRA's row lengths are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.adapter.layers import TRAINED, adapter_layers

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer


@torch.no_grad()
def update_cosine(transformer: nn.Module, other: str, *, name: str = TRAINED) -> float:
    """Gives the cosine between two adapters' updates over all layers; 0 where one of them is no change.

    Args:
        transformer: carries both.
        other: the one to compare with.
        name: the one that is compared.
    """
    own, others = adapter_layers(transformer, name=name), adapter_layers(transformer, name=other)
    shared = [layer for key, layer in own.items() if key in others]
    if not shared:
        return 0.0
    across = torch.stack([_inner(layer, name, other) for layer in shared]).sum()
    squares = [
        torch.stack([_inner(layer, each, each) for layer in layers.values()]).sum()
        for each, layers in ((name, own), (other, others))
    ]
    lengths = (squares[0] * squares[1]).clamp(min=0).sqrt()
    return 0.0 if lengths == 0 else (across / lengths).item()


def _inner(layer: LoraLayer, first: str, second: str) -> Float[Tensor, ""]:
    """Gives the inner product of two adapters' updates of a layer."""
    (a1, b1), (a2, b2) = (
        (layer.lora_A[each].weight.double(), layer.lora_B[each].weight.double()) for each in (first, second)
    )
    scale = layer.scaling[first] * layer.scaling[second]
    return scale * ((b1.T @ b2) * (a1 @ a2.T)).sum()
