"""LTX-Video's attention with a choice of backend; the equations are those of diffusers' processors.

    y = gates softmax(rotated(q) rotated(k)^T / sqrt(d)) v,    gates = 2 sigmoid(gate logits) for each head
Queries and keys have rotations of their own, since video and sound attend to each other. For guidance a block can pass
its values on in the place of y (perturbed).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.memory.attention import Processor, attend

Rotation = tuple[Tensor, Tensor]


def use_processors(transformer: nn.Module) -> nn.Module:
    """Puts our processor into a transformer and gives it back."""
    from diffusers.models.transformers.transformer_ltx2 import LTX2Attention

    for module in transformer.modules():
        if isinstance(module, LTX2Attention):
            module.processor = GatedAttention()
    return transformer


class GatedAttention(Processor):
    """Attention within a stream, to the prompt, or between the streams."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, " b n d"],
        encoder_hidden_states: Float[Tensor, " b m e"] | None = None,
        attention_mask: None = None,
        query_rotary_emb: Rotation | None = None,
        key_rotary_emb: Rotation | None = None,
        perturbation_mask: Tensor | None = None,
        all_perturbed: Tensor | bool | None = None,
    ) -> Float[Tensor, " b n d"]:
        """Gives the block's update; every token is attended to."""
        assert attention_mask is None
        given = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        value = attn.to_v(given)
        if all_perturbed:
            y = value
        else:
            query, key = attn.norm_q(attn.to_q(hidden_states)), attn.norm_k(attn.to_k(given))
            if query_rotary_emb is not None:
                query = _rotated(query, query_rotary_emb)
                key = _rotated(key, query_rotary_emb if key_rotary_emb is None else key_rotary_emb)
            heads = [x.to(value.dtype).unflatten(-1, (attn.heads, -1)) for x in (query, key, value)]
            y = attend(*heads, backend=self.backend).flatten(2, 3)
            if perturbation_mask is not None:
                y = torch.lerp(value, y, perturbation_mask)
        if attn.to_gate_logits is not None:
            gates = 2 * torch.sigmoid(attn.to_gate_logits(hidden_states))
            y = (y.unflatten(-1, (attn.heads, -1)) * gates.unsqueeze(-1)).flatten(2, 3)
        out: Tensor = attn.to_out[1](attn.to_out[0](y))
        return out


def _rotated(x: Float[Tensor, " b n d"], rotation: Rotation) -> Float[Tensor, " b n d"]:
    """Turns the first and second half of each head, the only form that LTX-2.3 has (`rope_type="split"`)."""
    from diffusers.models.transformers.transformer_ltx2 import apply_split_rotary_emb

    turned: Tensor = apply_split_rotary_emb(x, rotation)
    return turned
