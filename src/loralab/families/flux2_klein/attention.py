"""Klein's two kinds of attention, with a choice of backend.

The arithmetic is diffusers' (Flux2AttnProcessor, Flux2ParallelSelfAttnProcessor): norms, then rotation in fp32, prompt
tokens before picture tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.memory.attention import Processor, attend

Rotation = tuple[Tensor, Tensor]


def use_processors(transformer: nn.Module) -> nn.Module:
    """Puts our processors into a transformer and gives it back."""
    from diffusers.models.transformers.transformer_flux2 import Flux2Attention, Flux2ParallelSelfAttention

    for module in transformer.modules():
        if isinstance(module, Flux2Attention):
            module.processor = DoubleAttention()
        elif isinstance(module, Flux2ParallelSelfAttention):
            module.processor = SingleAttention()
    return transformer


class DoubleAttention(Processor):
    """Pictures and prompts with projections of their own, in one attention."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, " b n d"],
        encoder_hidden_states: Float[Tensor, " b l d"],
        attention_mask: None = None,
        image_rotary_emb: Rotation | None = None,
    ) -> tuple[Float[Tensor, " b n d"], Float[Tensor, " b l d"]]:
        """Gives (pictures, prompts)."""
        picture = _heads(attn, attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states))
        prompt = _heads(
            attn,
            attn.add_q_proj(encoder_hidden_states),
            attn.add_k_proj(encoder_hidden_states),
            attn.add_v_proj(encoder_hidden_states),
        )
        query = torch.cat([attn.norm_added_q(prompt[0]), attn.norm_q(picture[0])], dim=1)
        key = torch.cat([attn.norm_added_k(prompt[1]), attn.norm_k(picture[1])], dim=1)
        value = torch.cat([prompt[2], picture[2]], dim=1)
        y = _attended(query, key, value, rotation=image_rotary_emb, backend=self.backend)
        length = encoder_hidden_states.shape[1]
        prompts, pictures = y[:, :length], y[:, length:]
        return attn.to_out[1](attn.to_out[0](pictures)), attn.to_add_out(prompts)


class SingleAttention(Processor):
    """One projection in for attention and feed-forward, one out."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, " b n d"],
        attention_mask: None = None,
        image_rotary_emb: Rotation | None = None,
    ) -> Float[Tensor, " b n d"]:
        """Gives the block's update."""
        inner = attn.inner_dim
        wide = attn.to_qkv_mlp_proj(hidden_states)
        query, key, value, rest = wide.split([inner, inner, inner, wide.shape[-1] - 3 * inner], dim=-1)
        query, key, value = _heads(attn, query, key, value)
        y = _attended(
            attn.norm_q(query), attn.norm_k(key), value, rotation=image_rotary_emb, backend=self.backend
        )
        out: Tensor = attn.to_out(torch.cat([y, attn.mlp_act_fn(rest)], dim=-1))
        return out


def _heads(attn: Any, *projections: Tensor) -> list[Float[Tensor, " b n h k"]]:
    return [projection.unflatten(-1, (-1, attn.head_dim)) for projection in projections]


def _attended(
    query: Tensor, key: Tensor, value: Tensor, *, rotation: Rotation | None, backend: str | None
) -> Float[Tensor, " b n d"]:
    from diffusers.models.embeddings import apply_rotary_emb

    if rotation is not None:
        query = apply_rotary_emb(query, rotation, sequence_dim=1)
        key = apply_rotary_emb(key, rotation, sequence_dim=1)
    y = attend(query.to(value.dtype), key.to(value.dtype), value, backend=backend)
    return y.flatten(2, 3)
