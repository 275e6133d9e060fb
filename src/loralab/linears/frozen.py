"""A linear layer whose frozen weight is held in fewer bits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.linears.formats import dequantize, quantize
from loralab.linears.product import adapted_product, plain_product

FORMATS = ("int8", "fp8", "nf4")


class FrozenLinear(nn.Linear):
    """y = x W^T + bias with W in int8, fp8 or nf4; adapters attach to it as to any linear layer.

    `weight` reads the weight back, for merging, norms and DoRA; it is computed at each access.
    """

    _unread: ClassVar[bool] = False

    def __init__(
        self, tensors: dict[str, Tensor], *, kind: str, shape: tuple[int, int], low_bit: bool
    ) -> None:
        """Holds what `formats.quantize` gave.

        Args:
            tensors: of the format, by name.
            kind: int8, fp8 or nf4.
            shape: (out_features, in_features).
            low_bit: take the products in the format itself; else in the precision of the input.
        """
        nn.Module.__init__(self)
        self.out_features, self.in_features = shape
        self.kind, self.low_bit = kind, low_bit
        self._names = tuple(tensors)
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)
        self.register_parameter("bias", None)

    @property
    def weight(self) -> Float[Tensor, " o i"]:  # type: ignore[override]
        """The weight that the codes stand for, in bf16."""
        if FrozenLinear._unread:
            return torch.empty((), dtype=torch.bfloat16, device=self.tensors[0].device).expand(self.shape)
        return dequantize(self.kind, self.tensors, shape=self.shape, dtype=torch.bfloat16)

    @property
    def shape(self) -> tuple[int, int]:
        """(out_features, in_features)."""
        return self.out_features, self.in_features

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors that stand for the weight, in the format's order."""
        return [self.get_buffer(name) for name in self._names]

    def forward(self, x: Float[Tensor, " *m i"]) -> Float[Tensor, " *m o"]:
        """Gives the product in the precision of autocast where it is on, else of the input."""
        x = x.to(compute_dtype(x))
        y = plain_product(x, self.tensors, kind=self.kind, shape=self.shape, low_bit=self.low_bit)
        return self._biased(y)

    def adapted(
        self, x: Float[Tensor, " *m i"], *, down: Float[Tensor, "*p r i"], up: Float[Tensor, "*p o r"]
    ) -> Float[Tensor, " *m o"]:
        """Gives the product plus the adapter's, (x down^T) up^T, or those of p parts, in one pass over the output."""
        y = adapted_product(
            x.to(compute_dtype(x)),
            self.tensors,
            down=down,
            up=up,
            kind=self.kind,
            shape=self.shape,
            low_bit=self.low_bit,
        )
        return self._biased(y)

    def extra_repr(self) -> str:
        """Says what `print(transformer)` shows."""
        return f"{self.in_features}, {self.out_features}, {self.kind}, low_bit={self.low_bit}"

    def _biased(self, y: Tensor) -> Tensor:
        return y if self.bias is None else y + self.bias.to(y.dtype)


def frozen_linear(
    weight: Float[Tensor, " o i"], *, bias: nn.Parameter | None, kind: str, low_bit: bool
) -> FrozenLinear:
    """Quantises a weight, on its device, and gives the layer that holds it."""
    rows, columns = weight.shape
    layer = FrozenLinear(quantize(weight, kind), kind=kind, shape=(rows, columns), low_bit=low_bit)
    layer.register_parameter("bias", bias)
    return layer


def is_worth_fusing(base: nn.Linear, x: Tensor) -> bool:
    """Says whether one product for base and adapter saves anything here."""
    return isinstance(base, FrozenLinear) or (x.is_cuda and compute_dtype(x) == torch.bfloat16)


def adapted_linear(
    base: nn.Linear, x: Float[Tensor, " *m i"], *, down: Float[Tensor, "*p r i"], up: Float[Tensor, "*p o r"]
) -> Float[Tensor, " *m o"]:
    """Gives the output of a layer of any format plus (x down^T) up^T, or those of p parts of x, in one product."""
    if isinstance(base, FrozenLinear):
        return base.adapted(x, down=down, up=up)
    dtype = compute_dtype(x)
    shape = (base.out_features, base.in_features)
    y = adapted_product(
        x.to(dtype), [base.weight], down=down, up=up, kind="dense", shape=shape, low_bit=False
    )
    return y if base.bias is None else y + base.bias.to(dtype)


@contextlib.contextmanager
def weights_unread() -> Iterator[None]:
    """Makes `weight` a stand-in of the right shape, precision and device, without values or memory, meanwhile.

    PEFT looks at the weight of every layer that it adapts, three times, and never at its values. To read each back
    would take minutes where blocks wait in main memory.
    """
    before = FrozenLinear._unread
    FrozenLinear._unread = True
    try:
        yield
    finally:
        FrozenLinear._unread = before


def compute_dtype(x: Tensor) -> torch.dtype:
    """Gives the precision in which a layer answers x: autocast's where it is on, else that of x."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
