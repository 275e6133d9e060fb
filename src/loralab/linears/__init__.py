"""Frozen linear layers in fewer bits, and their products with and without a low-rank adapter."""

from loralab.linears.frozen import FORMATS, FrozenLinear, compute_dtype, frozen_linear, weights_unread
from loralab.linears.product import adapted_product, plain_product

__all__ = [
    "FORMATS",
    "FrozenLinear",
    "adapted_product",
    "compute_dtype",
    "frozen_linear",
    "plain_product",
    "weights_unread",
]
