"""A policy on a device, with nothing left open: how networks are loaded and what runs their blocks."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from loralab.memory.attention import use_fastest
from loralab.memory.blocks import Blocks, evenly, repeated_blocks
from loralab.memory.loading import Holding, fill

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placement:
    """How a base lives on a device; the fields are those of MemoryPolicy without autos.

    Attributes:
        device: where it computes.
        dtype: of what is not quantised.
        kind: int8, fp8, nf4, or None for `dtype` throughout.
        low_bit: products in the format itself.
        checkpointing: full, selective or none.
        checkpointed_blocks: share of the blocks that are checkpointed.
        compile: compile each kind of block.
        attention: a backend, or auto.
        offload_blocks: share of the blocks whose weights wait in main memory.
        offload_activations: what checkpointing keeps waits there too.
    """

    device: torch.device
    dtype: torch.dtype
    kind: str | None = None
    low_bit: bool = False
    checkpointing: str = "none"
    checkpointed_blocks: float = 1.0
    compile: bool = False
    attention: str = "auto"
    offload_blocks: float = 0.0
    offload_activations: bool = False

    @property
    def streams(self) -> bool:
        """Says whether networks are filled tensor by tensor instead of loaded whole."""
        return self.kind is not None or self.offload_blocks > 0

    def filled(
        self, build: Callable[[], nn.Module], tensors: Iterable[tuple[str, Tensor]], *, quantized: str
    ) -> nn.Module:
        """Gives a transformer with its weights held as placed.

        Args:
            build: makes it on the meta device.
            tensors: its parameters by name, for example `loading.tensors_of` its files.
            quantized: pattern on the names of linear layers that are quantised.
        """
        network = build()
        blocks = set(repeated_blocks(network))
        names = [name for name, module in network.named_modules() if module in blocks]
        waiting = tuple(f"{names[index]}." for index in _spread(self.offload_blocks, among=len(names)))
        holding = Holding(
            device=self.device,
            dtype=self.dtype,
            kind=self.kind,
            low_bit=self.low_bit,
            quantized=quantized,
            waiting=lambda name: name.startswith(waiting),
        )
        return fill(network, tensors, holding)

    def encoder(self) -> Holding:
        """Says how a text encoder is held: int8, read back exactly, wherever the base is quantised."""
        return Holding(device=self.device, dtype=self.dtype, kind=None if self.kind is None else "int8")

    def apply(self, transformer: nn.Module) -> None:
        """Puts the blocks' runner and the attention backend in place."""
        blocks = repeated_blocks(transformer)
        if self.attention != "auto" or self.dtype == torch.bfloat16:  # the fast backends know no fp32
            use_fastest(transformer, self.attention, device=self.device)
        runner = Blocks(
            blocks,
            device=self.device,
            checkpointing=self.checkpointing,
            compile=self.compile,
            plain=_spread(1 - self.checkpointed_blocks, among=len(blocks)),
            swapped=_spread(self.offload_blocks, among=len(blocks)),
            offload_activations=self.offload_activations,
        )
        log.info("memory: %s%s", self.described(), runner.remark())

    def described(self) -> str:
        """Says in a line what is done."""
        held = str(self.dtype).removeprefix("torch.") if self.kind is None else self.kind
        products = {True: ", products in it", False: ", read back for products"}[self.low_bit]
        parts = [held + (products if self.kind else ""), f"checkpointing {self.checkpointing}"]
        if self.checkpointing != "none" and self.checkpointed_blocks < 1:
            parts[-1] += f" on {self.checkpointed_blocks:.0%} of the blocks"
        parts += ["compiled blocks"] if self.compile else []
        parts += [f"{self.offload_blocks:.0%} of the blocks in main memory"] if self.offload_blocks else []
        parts += ["activations in main memory"] if self.offload_activations else []
        return "; ".join(parts)

    def without(self, **changes: object) -> Placement:
        """Gives the placement with other values of some fields."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


def _spread(share: float, *, among: int) -> set[int]:
    count = round(share * among)
    return evenly(count, among=among) if count else set()
