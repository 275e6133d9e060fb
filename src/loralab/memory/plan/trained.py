"""What is trained: the adapter's tensors, and the state that an optimizer keeps of them.

The adapter, its gradient and most states are fp32. Bytes of state per entry, by optimizer:

    AdamW          8     two moments, and a step count per tensor
    AdamW8bit      2     two moments of one byte, a scale per 256; small tensors keep 8
    Lion8bit       1     one moment of one byte, a scale per 256; small tensors keep 4
    Prodigy        16    two moments, a sum and the starting point, which is left out where it is zero
    schedule-free  8     a second moment and a second iterate
    Adafactor            sums over rows and columns of squares, and with beta1 a moment; a scalar
    Muon           4     one moment
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loralab.memory.plan.blueprint import Layer

BLOCK = 256
"""Entries that share a scale in the 8-bit optimizers of bitsandbytes."""


@dataclass(frozen=True)
class Shape:
    """A trained tensor; `zero` says that it starts at zero."""

    size: tuple[int, ...]
    zero: bool = False

    @property
    def numel(self) -> int:
        """Entries."""
        return math.prod(self.size)


@dataclass(frozen=True)
class Adapter:
    """What is trained, and by what.

    Attributes:
        rank: inner width of the adapter.
        pattern: on the names of the layers that it is on.
        use_dora: rows have a length that is trained too.
        zero_start: B starts at zero.
        optimizer: the last part of the `_target_` in conf/optimizer.
        options: the optimizer's arguments.
        averaged: a moving average of the adapter is kept.
    """

    rank: int
    pattern: str
    use_dora: bool = False
    zero_start: bool = True
    optimizer: str = "AdamW"
    options: Mapping[str, Any] = field(default_factory=dict)
    averaged: bool = False

    def shapes(self, layers: Sequence[Layer]) -> list[Shape]:
        """Lists the adapter's tensors: A, B and where it is a DoRA the rows' lengths."""
        shapes = []
        for layer in layers:
            if layer.adapted:
                shapes += [Shape((self.rank, layer.columns)), Shape((layer.rows, self.rank), self.zero_start)]
                shapes += [Shape((layer.rows,))] * self.use_dora
        return shapes

    def num_parameters(self, layers: Sequence[Layer]) -> int:
        """Counts what is trained."""
        return sum(shape.numel for shape in self.shapes(layers))

    def optimizer_bytes(self, layers: Sequence[Layer]) -> int:
        """Counts the bytes of the optimizer's state; of one that is not known here, as if it were AdamW."""
        state = STATES.get(self.optimizer, _adamw)
        return sum(state(shape, self.options) for shape in self.shapes(layers))


def _adamw(shape: Shape, options: Mapping[str, Any]) -> int:
    return 8 * shape.numel + 4


def _adamw_8bit(shape: Shape, options: Mapping[str, Any]) -> int:
    return _8bit(shape, options, moments=2)


def _lion_8bit(shape: Shape, options: Mapping[str, Any]) -> int:
    return _8bit(shape, options, moments=1)


def _8bit(shape: Shape, options: Mapping[str, Any], *, moments: int) -> int:
    if shape.numel < options.get("min_8bit_size", 4096):
        return 4 * moments * shape.numel
    return moments * (shape.numel + 4 * -(-shape.numel // BLOCK))


def _prodigy(shape: Shape, options: Mapping[str, Any]) -> int:
    sliced = 4 * -(-shape.numel // options.get("slice_p", 1))
    return 8 * shape.numel + sliced + (4 if shape.zero else sliced)


def _schedule_free(shape: Shape, options: Mapping[str, Any]) -> int:
    return 8 * shape.numel


def _adafactor(shape: Shape, options: Mapping[str, Any]) -> int:
    moment = 0 if options.get("beta1") is None else 4 * shape.numel
    return 4 * (sum(shape.size) + 1) + moment


def _muon(shape: Shape, options: Mapping[str, Any]) -> int:
    return 4 * shape.numel


STATES: dict[str, Callable[[Shape, Mapping[str, Any]], int]] = {
    "AdamW": _adamw,
    "AdamW8bit": _adamw_8bit,
    "Lion8bit": _lion_8bit,
    "Prodigy": _prodigy,
    "adamw_schedule_free": _schedule_free,
    "Adafactor": _adafactor,
    "Muon": _muon,
}
