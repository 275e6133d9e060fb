"""A frozen linear layer with the low-rank adapters of several trials, each for its own part of the batch.

    y_k = W x_k + scale_k * B_k A_k drop(x_k)          k: slot of the trial

A batch is K equal parts, in the order of their slots. Ranks are padded with zeros to the largest, so that all adapters
of a layer are two batched products whatever trials are there, and compiled code outlives them. A slot whose trial
adapts other layers has zeros here. On GPUs and low-bit bases the second is part of the base's own product, as it is for
a trial alone (loralab.adapter.fused), unless a trial has dropout.

Nothing mixes the parts: what is not finite in one stays in it.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.linears import adapted_linear, is_worth_fusing
from loralab.packed.routing import Routing


class PackedLinear(nn.Module):
    """Stands in the place of a frozen linear layer."""

    scale: Tensor

    def __init__(
        self, base_layer: nn.Linear, *, width: int, rank: int, dtype: torch.dtype, routing: Routing
    ) -> None:
        """Begins with empty slots.

        Args:
            base_layer: the frozen layer, in any format.
            width: slots.
            rank: the largest that a trial may have.
            dtype: in which adapters are computed.
            routing: says which part of the batch belongs to which slot; shared by all layers.
        """
        super().__init__()
        self.base_layer = base_layer
        self.routing = routing
        place: dict[str, Any] = {"device": routing.device, "dtype": dtype}  # blocks may wait in main memory
        self.down = nn.Parameter(torch.zeros(width, rank, base_layer.in_features, **place))
        self.up = nn.Parameter(torch.zeros(width, base_layer.out_features, rank, **place))
        scale = torch.zeros(width, 1, 1, device=routing.device)  # fp32, as PEFT's factor is before it rounds
        self.register_buffer("scale", scale, persistent=False)

    @property
    def weight(self) -> Float[Tensor, " o i"]:
        """The frozen weight: networks ask it for its precision."""
        return self.base_layer.weight

    def forward(self, x: Float[Tensor, " num *m i"]) -> Float[Tensor, " num *m o"]:
        """Gives the layer's output.

        Raises:
            ValueError: if the input is not the batch that was routed: its rows could not be told apart.
        """
        routing = self.routing
        if x.shape[0] != routing.num_samples:
            raise ValueError(
                f"a packed layer was given {x.shape[0]} rows, not one for each of {routing.num_samples} samples"
            )
        down: Tensor = self.down
        up: Tensor = self.up
        scale = self.scale
        if routing.present is not None:
            down, up, scale = (tensor[routing.present] for tensor in (down, up, scale))
        if is_worth_fusing(self.base_layer, x) and not routing.drops:
            return adapted_linear(self.base_layer, x, down=down, up=_scaled(up, scale))
        y = self.base_layer(x)
        parts = x.to(down.dtype).reshape(down.shape[0], -1, x.shape[-1])
        inner = torch.bmm(routing.dropped(parts, layer=self), down.mT)
        if y.dtype == up.dtype == torch.bfloat16:  # no wide copy
            within = y.reshape(len(parts), -1, y.shape[-1])
            return torch.baddbmm(within, inner, _scaled(up, scale).mT).view(y.shape)
        update = torch.bmm(inner, up.mT) * scale
        return y + update.view(y.shape)


def _scaled(up: Tensor, scale: Tensor) -> Tensor:
    return (up * scale).to(up.dtype)
