"""Which precision the frozen base is held in, and what is recomputed, compiled or kept elsewhere to fit and be fast.

The adapter's own weights are fp32 under every policy. fp16 is refused: its largest number is 65504, and the
activations of these transformers pass it, which ends in NaN.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from loralab.errors import UserError, joined
from loralab.linears import FORMATS
from loralab.memory.attention import BACKENDS
from loralab.memory.checkpointing import MODES
from loralab.memory.placement import Placement

PRECISIONS = ("auto", "fp32", "bf16", *FORMATS)
PRODUCTS = ("auto", "low_bit", "exact")
CAPABILITY = {"int8": (8, 0), "fp8": (8, 9)}
"""From which compute capability on a card has bf16 and tensor cores for a format (NVIDIA's CUDA programming guide)."""


@dataclass(frozen=True)
class MemoryPolicy:
    """How the base is held while an adapter trains on it.

    Attributes:
        precision: of the base's weights: fp32, bf16, int8, fp8 or nf4. auto is fp32 on a CPU; on a GPU it is what the
            planner finds the fastest that fits `budget_gib`.
        products: low_bit multiplies int8 and fp8 weights in their own precision, exact reads them back into bf16
            first; auto is low_bit on cards with tensor cores for it.
        checkpointing: full keeps only the blocks' inputs for the backward pass, selective the results of attention
            besides, none everything; auto is selective on a GPU and for offload_activations, else none.
        checkpointed_blocks: share of the blocks that are checkpointed; the others keep everything.
        compile: compiles each kind of block (torch.compile); auto does so on a GPU with Triton, and leaves it out of
            runs of less than a minute where precision is auto too.
        attention: auto measures the backends at the start; or cudnn, flash, efficient, math.
        offload_blocks: share of the blocks whose weights wait in main memory.
        offload_activations: what checkpointing keeps waits in main memory too.
        budget_gib: what precision=auto may use of the card; None is what is free on it.
    """

    precision: str = "auto"
    products: str = "auto"
    checkpointing: str = "auto"
    checkpointed_blocks: float = 1.0
    compile: bool | str = "auto"
    attention: str = "auto"
    offload_blocks: float = 0.0
    offload_activations: bool = False
    budget_gib: float | None = None

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise UserError("memory cannot be set up so:\n" + joined(problems))

    def dtype(self, device: torch.device) -> torch.dtype:
        """Gives the precision of what is not quantised, on a device.

        Raises:
            UserError: if it must be bf16 and the GPU cannot compute in it.
        """
        if self.precision == "fp32" or (self.precision == "auto" and device.type != "cuda"):
            return torch.float32
        if device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise UserError(
                f"memory.precision={self.precision}: this GPU does not compute in bf16; use memory=fp32"
            )
        return torch.bfloat16

    def on(self, device: torch.device) -> Placement:
        """Gives the policy on a device, with everything that was left open decided; auto precision is bf16 on a GPU."""
        on_cuda = device.type == "cuda"
        kind = self.precision if self.precision in FORMATS else None
        checkpointing = "selective" if on_cuda or self.offload_activations else "none"
        compiled = on_cuda and importlib.util.find_spec("triton") is not None
        return Placement(
            device=device,
            dtype=self.dtype(device),
            kind=kind,
            low_bit=self._low_bit(device),
            checkpointing=checkpointing if self.checkpointing == "auto" else self.checkpointing,
            checkpointed_blocks=self.checkpointed_blocks,
            compile=compiled if self.compile == "auto" else bool(self.compile),
            attention=self.attention,
            offload_blocks=self.offload_blocks,
            offload_activations=self.offload_activations,
        )

    def _low_bit(self, device: torch.device) -> bool:
        if self.precision not in CAPABILITY or self.products == "exact":
            return False
        able = (
            device.type == "cuda" and torch.cuda.get_device_capability(device) >= CAPABILITY[self.precision]
        )
        if self.products == "low_bit" and device.type == "cuda" and not able:
            raise UserError(
                f"memory.products=low_bit: this GPU has no tensor cores for {self.precision}; use memory.products=exact"
            )
        return able if self.products == "auto" else True

    def _problems(self) -> Iterator[str]:
        if self.precision == "fp16":
            yield "memory.precision=fp16 overflows in these transformers and ends in NaN; use memory=bf16"
        for key, choices in (
            ("precision", (*PRECISIONS, "fp16")),
            ("products", PRODUCTS),
            ("checkpointing", ("auto", *MODES)),
            ("compile", ("auto", True, False)),
            ("attention", ("auto", *BACKENDS)),
        ):
            value = getattr(self, key)
            if value not in choices:
                named = ", ".join(str(choice).lower() for choice in choices if choice != "fp16")
                yield f"memory.{key}={value} is unknown; choose one of {named}"
        for key in ("checkpointed_blocks", "offload_blocks"):
            if not 0 <= getattr(self, key) <= 1:
                yield f"memory.{key}={getattr(self, key)} is outside [0, 1]: it is a share of the blocks"
        if self.checkpointing == "none" and self.checkpointed_blocks != 1:
            share = f"memory.checkpointed_blocks={self.checkpointed_blocks}"
            yield f"{share} has no effect with memory.checkpointing=none; use full or selective"
        if self.offload_activations and self.checkpointing == "none":
            yield "memory.offload_activations=true needs memory.checkpointing=full or selective"
        if self.products in PRODUCTS[1:] and self.precision not in CAPABILITY:
            yield f"memory.products={self.products} has no effect with memory.precision={self.precision}"
        if self.budget_gib is not None and not self.budget_gib > 0:
            yield f"memory.budget_gib={self.budget_gib} must be above 0; null is what is free on the card"
        elif self.budget_gib is not None and self.precision != "auto":
            chosen = f"memory.precision={self.precision}"
            yield f"memory.budget_gib={self.budget_gib} has no effect with {chosen}; use memory=auto"
