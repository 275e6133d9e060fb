"""PEFT's LoRA layer with its low-rank term inside the base's product, where that gives the same.

PEFT adds the adapter as y + scale * B(A(x)): one more pass over the widest tensors of a block. Here the factors are
handed to the product itself (loralab.linears.product). Dropout, DoRA and layers computed in fp32 go PEFT's own way.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

from loralab.linears import adapted_linear, compute_dtype, is_worth_fusing


@functools.cache
def fused_linear() -> type[nn.Module]:
    """Gives the class that PEFT makes its layers of; inside a function, since importing PEFT takes seconds."""
    from peft.tuners.lora import Linear

    class FusedLinear(Linear):
        """A linear layer with adapters, which are one rank-concatenated product beside the base's."""

        def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            """Gives the adapted layer's output; anything unusual is left to PEFT."""
            names = [name for name in self.active_adapters if name in self.lora_A]
            dtype = compute_dtype(x)
            if args or kwargs or self.disable_adapters or self.merged or not self._plain(names, x):
                return super().forward(x, *args, **kwargs)
            down = torch.cat([self.lora_A[name].weight.to(dtype) for name in names])
            up = torch.cat([self.lora_B[name].weight.to(dtype) * self.scaling[name] for name in names], dim=1)
            return adapted_linear(self.base_layer, x, down=down, up=up)

        def _plain(self, names: list[str], x: Tensor) -> bool:
            """Says whether the adapters are nothing but B A, on a base for which the one product is worth it."""
            undropped = (
                all(isinstance(self.lora_dropout[name], nn.Identity) for name in names) or not self.training
            )
            return (
                bool(names)
                and is_worth_fusing(self.base_layer, x)
                and undropped
                and not any(name in self.lora_variant for name in names)
            )

    return FusedLinear
