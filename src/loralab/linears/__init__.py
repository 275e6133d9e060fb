"""Frozen linear layers in fewer bits, and their products with and without a low-rank adapter."""

from loralab.linears.frozen import (
    FORMATS,
    FrozenLinear,
    adapted_linear,
    compute_dtype,
    frozen_linear,
    is_worth_fusing,
    weights_unread,
)
from loralab.linears.product import adapted_product, plain_product

__all__ = [
    "FORMATS",
    "FrozenLinear",
    "adapted_linear",
    "adapted_product",
    "compute_dtype",
    "frozen_linear",
    "is_worth_fusing",
    "plain_product",
    "weights_unread",
]
