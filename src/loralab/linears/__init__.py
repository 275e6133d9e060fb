"""Frozen linear layers in fewer bits, and their products with and without a low-rank adapter."""

from loralab.linears.frozen import FORMATS, FrozenLinear, frozen_linear
from loralab.linears.product import adapted_product, plain_product

__all__ = ["FORMATS", "FrozenLinear", "adapted_product", "frozen_linear", "plain_product"]
