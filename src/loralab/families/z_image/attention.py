"""Z-Image's attention with a choice of backend, and its rotation in real numbers.

    (x + iy) e^(i angle):    x' = x cos - y sin,    y' = x sin + y cos        over neighbouring pairs, in fp32

diffusers rotates by complex numbers, for which torch's compiler writes no code: each rotation would be several passes
over fp32 tensors outside the compiled block.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from loralab.memory.attention import Processor, attend


def use_processors(transformer: nn.Module) -> nn.Module:
    """Puts our processor and the real rotation into a transformer and gives it back."""
    from diffusers.models.attention_processor import Attention

    for module in transformer.modules():
        if isinstance(module, Attention):
            module.processor = SelfAttention()
    setattr(transformer, "rope_embedder", RealRotation(transformer.rope_embedder))  # noqa: B010
    return transformer


class RealRotation:
    """Gives diffusers' complex rotations as (cos, sin)."""

    def __init__(self, embedder: Any) -> None:
        """Wraps diffusers' RopeEmbedder."""
        self._embedder = embedder

    def __call__(self, ids: Tensor) -> Float[Tensor, " n half 2"]:
        """Gives the rotation of each position."""
        return torch.view_as_real(self._embedder(ids))


class SelfAttention(Processor):
    """Attention of one stream."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, " b n d"],
        encoder_hidden_states: None = None,
        attention_mask: Bool[Tensor, " b n"] | None = None,
        freqs_cis: Float[Tensor, " b n half 2"] | None = None,
    ) -> Float[Tensor, " b n d"]:
        """Gives the block's update."""
        query, key, value = (
            projection(hidden_states).unflatten(-1, (attn.heads, -1))
            for projection in (attn.to_q, attn.to_k, attn.to_v)
        )
        query = query if attn.norm_q is None else attn.norm_q(query)
        key = key if attn.norm_k is None else attn.norm_k(key)
        if freqs_cis is not None:
            query, key = rotated(query, freqs_cis), rotated(key, freqs_cis)
        mask = None if attention_mask is None else attention_mask[:, None, None, :]
        backend = self.backend if mask is None else self.masked_backend
        y = attend(query.to(value.dtype), key.to(value.dtype), value, mask=mask, backend=backend)
        out: Tensor = attn.to_out[1](attn.to_out[0](y.flatten(2, 3)))
        return out


def rotated(
    x: Float[Tensor, " b n h k"], rotation: Float[Tensor, " b n half 2"]
) -> Float[Tensor, " b n h k"]:
    """Rotates neighbouring pairs, in fp32, and gives the precision of x."""
    first, second = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = rotation.float().unsqueeze(2).unbind(-1)
    return (
        torch.stack([first * cos - second * sin, first * sin + second * cos], dim=-1).flatten(3).to(x.dtype)
    )
