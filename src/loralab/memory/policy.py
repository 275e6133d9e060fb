"""Which precision the frozen base is held in, and what is recomputed or compiled to fit and to be fast.

The adapter's own weights are fp32 under every policy. fp16 is refused: its largest number is 65504, and the
activations of these transformers pass it, which ends in NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from loralab.errors import UserError

if TYPE_CHECKING:
    from diffusers import ModelMixin


@dataclass(frozen=True)
class MemoryPolicy:
    """How the base is held while an adapter trains on it.

    Attributes:
        precision: bf16 or fp32, of the base's weights and products; auto is bf16 on CUDA and fp32 elsewhere.
        checkpointing: full keeps only the blocks' inputs for the backward pass and computes the rest again there,
            none keeps everything; auto is full on CUDA and none elsewhere.
        compile: compiles each repeated block (torch.compile); pays off after some minutes of training.
    """

    precision: str = "auto"
    checkpointing: str = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        if self.precision == "fp16":
            raise UserError(
                "memory.precision=fp16 overflows in these transformers and ends in NaN; use memory=bf16"
            )
        if self.precision not in ("auto", "bf16", "fp32"):
            raise UserError(f"memory.precision={self.precision} is unknown; choose auto, bf16 or fp32")
        if self.checkpointing not in ("auto", "full", "none"):
            raise UserError(
                f"memory.checkpointing={self.checkpointing} is unknown; choose auto, full or none"
            )

    def dtype(self, device: torch.device) -> torch.dtype:
        """Gives the precision of the base on a device.

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

    def apply(self, transformer: ModelMixin) -> None:
        """Sets a transformer up for training; call it after the adapter was injected, which replaces layers."""
        on_cuda = next(transformer.parameters()).device.type == "cuda"
        if self.checkpointing == "full" or (self.checkpointing == "auto" and on_cuda):
            transformer.enable_gradient_checkpointing()
        if self.compile:
            transformer.compile_repeated_blocks()
