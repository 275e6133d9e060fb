"""Bytes of weights, exactly: every tensor of a network in the form that a placement holds it in.

Linear layers that a pattern names are held in the placement's kind (loralab.linears.formats), all else in its dtype.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from loralab.linears.formats import num_bytes
from loralab.memory.blocks import evenly

QUANTISING = {"int8": 9, "fp8": 9, "nf4": 2}
"""Bytes per entry while a weight is quantised (loralab.linears.formats): bf16 as read, two fp32 copies, less codes."""
READING_BACK = {"int8": 8, "fp8": 8, "nf4": 2}
"""Bytes per entry while a weight is read back uncompiled: two fp32 copies; nf4 has a kernel of its own."""


@dataclass(frozen=True)
class Held:
    """Bytes of a network's weights.

    Attributes:
        blocks: of each block.
        outside: of what is in no block.
        largest: entries of the largest weight that is quantised; 0 where none is.
    """

    blocks: tuple[int, ...]
    outside: int
    largest: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.blocks) + self.outside

    def on_device(self, offload_blocks: float) -> int:
        """Counts what is on the device at once where a share of the blocks waits in main memory.

        Of the waiting blocks two are there: one that is computed and one that arrives.
        """
        waiting = [self.blocks[index] for index in spread(offload_blocks, among=len(self.blocks))]
        return self.total - sum(waiting) + sum(sorted(waiting)[-2:])

    def waiting(self, offload_blocks: float) -> int:
        """Counts what waits in main memory."""
        return sum(self.blocks[index] for index in spread(offload_blocks, among=len(self.blocks)))


def spread(share: float, *, among: int) -> set[int]:
    """Gives the numbers of a share of the blocks, as a placement picks them."""
    count = round(share * among)
    return evenly(count, among=among) if count else set()


def held(
    network: nn.Module,
    *,
    quantized: str,
    kind: str | None,
    dtype: torch.dtype,
    blocks: Sequence[str] = (),
) -> Held:
    """Counts the bytes of a network's parameters; it may be on the meta device.

    Args:
        network: whose parameters.
        quantized: pattern on the names of its linear layers that are quantised.
        kind: int8, fp8, nf4, or None for `dtype` throughout.
        dtype: of what is not quantised.
        blocks: names of its blocks.
    """
    by_block, outside, largest = dict.fromkeys(blocks, 0), 0, 0
    linear = {name for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    prefixes = [(f"{block}.", block) for block in blocks]
    for name, parameter in network.named_parameters():
        path, _, leaf = name.rpartition(".")
        size = parameter.numel() * dtype.itemsize
        if kind is not None and leaf == "weight" and path in linear and re.fullmatch(quantized, path):
            rows, columns = parameter.shape
            size = num_bytes(kind, num_rows=rows, num_columns=columns)
            largest = max(largest, parameter.numel())
        owner = next((block for prefix, block in prefixes if name.startswith(prefix)), None)
        if owner is None:
            outside += size
        else:
            by_block[owner] += size
    return Held(tuple(by_block.values()), outside, largest)


def num_parameters(network: nn.Module) -> int:
    """Counts a network's parameters."""
    return sum(parameter.numel() for parameter in network.parameters())
