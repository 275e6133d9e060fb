"""How far the adapter has moved the base: the Frobenius norm of every layer's update.

The update scale * B @ A is never built. With the r x r Gram matrices of its factors,

    |B @ A|^2 = trace(A^T B^T B A) = sum((B^T B) * (A A^T))

DoRA's update is not a product of thin matrices; it is built, one layer at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.adapter.layers import TRAINED, adapter_layers
from loralab.adapter.lora import adapter_parameters
from loralab.errors import UserError

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer


def product_norm(b: Float[Tensor, " out r"], a: Float[Tensor, " r in"]) -> Float[Tensor, ""]:
    """Gives the Frobenius norm of b @ a from two r x r matrices."""
    return ((b.T @ b) * (a @ a.T)).sum().clamp(min=0).sqrt()


@torch.no_grad()
def update_norms(transformer: nn.Module, *, relative: bool = False, name: str = TRAINED) -> dict[str, float]:
    """Gives each layer's update norm by module name; `relative` divides it by the base weight's norm."""
    layers = adapter_layers(transformer, name=name)
    norms = torch.stack([_layer_norm(layer, name) for layer in layers.values()])
    if relative:
        norms /= torch.stack([base_weight(layer).norm() for layer in layers.values()])
    return dict(zip(layers, norms.tolist(), strict=True))


def require_change(norms: Mapping[str, float]) -> None:
    """Refuses an adapter whose every update is zero: it would draw what the base draws.

    Raises:
        UserError: if every norm is zero (a norm that overflowed is no zero).
    """
    if all(norm == 0 for norm in norms.values()):
        raise UserError(
            f"The adapter changed nothing: the update of all {len(norms)} adapted layers is zero. "
            "Train for at least one step, with a learning rate (optimizer.lr) above zero."
        )


def all_finite(transformer: nn.Module, *, name: str = TRAINED) -> bool:
    """Says whether the adapter is free of NaN and infinity."""
    finite = [parameter.detach().isfinite().all() for parameter in adapter_parameters(transformer, name=name)]
    return bool(torch.stack(finite).all())


def _layer_norm(layer: LoraLayer, name: str) -> Float[Tensor, ""]:
    a, b = layer.lora_A[name].weight.float(), layer.lora_B[name].weight.float()
    if name not in layer.lora_magnitude_vector:
        return layer.scaling[name] * product_norm(b, a)
    base = base_weight(layer)
    moved = base + layer.scaling[name] * b @ a
    length = layer.lora_magnitude_vector[name].weight.float()
    return (moved * (length / moved.norm(dim=1)).unsqueeze(1) - base).norm()


def base_weight(layer: LoraLayer) -> Float[Tensor, " out in"]:
    """The frozen weight in fp32, dequantised where the base is quantised."""
    from peft.utils.integrations import dequantize_module_weight

    return dequantize_module_weight(layer.get_base_layer()).float()
