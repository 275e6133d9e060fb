"""LTX-2.3's transformer without all that only sound needs, for runs and clips in which sound is absent.

Where a modality is absent nothing of it reaches the other one: diffusers' network then carries a stand-in token through
the audio branch for nothing. Here that branch and the attention between the modalities are not there at all. The
equations and the order of their operations are those of diffusers' blocks (LTX2VideoTransformerBlock), so that the
answers are the same bit for bit; layers have the names that they have in the whole network.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from loralab.families.ltx_video.attention import Rotation


class VideoBlock(nn.Module):
    """The video's part of a block."""

    def __init__(self, whole: Any) -> None:
        """Takes the parts over from a whole block."""
        super().__init__()
        self.norm1, self.attn1 = whole.norm1, whole.attn1
        self.norm2, self.attn2 = whole.norm2, whole.attn2
        self.norm3, self.ff = whole.norm3, whole.ff
        self.scale_shift_table = whole.scale_shift_table
        self.prompt_scale_shift_table = whole.prompt_scale_shift_table

    def forward(
        self,
        hidden: Float[Tensor, " b n d"],
        *,
        prompt: Float[Tensor, " b l e"],
        clock: Float[Tensor, " b #n nine_d"],
        prompt_clock: Float[Tensor, " b 1 two_e"],
        rotation: Rotation,
        perturbed: bool,
    ) -> Float[Tensor, " b n d"]:
        """Gives the tokens after the block; a perturbed one passes values on in the place of self-attention."""
        rows = _modulation(self.scale_shift_table, clock)
        (shift, scale, gate), (mlp_shift, mlp_scale, mlp_gate) = rows[:3], rows[3:6]
        prompt_shift, prompt_scale, prompt_gate = rows[6:]
        normed = self.norm1(hidden) * (1 + scale) + shift
        hidden = hidden + self.attn1(normed, query_rotary_emb=rotation, all_perturbed=perturbed) * gate

        key_shift, key_scale = _modulation(self.prompt_scale_shift_table, prompt_clock)
        normed = self.norm2(hidden) * (1 + prompt_scale) + prompt_shift
        told = prompt * (1 + key_scale) + key_shift
        hidden = hidden + self.attn2(normed, encoder_hidden_states=told) * prompt_gate

        normed = self.norm3(hidden) * (1 + mlp_scale) + mlp_shift
        return hidden + self.ff(normed) * mlp_gate


class VideoTransformer(nn.Module):
    """The video's part of a `LTX2VideoTransformer3DModel`, of the config of the whole one (`without_sound`)."""

    _repeated_blocks = ("VideoBlock",)

    def __init__(self, whole: Any) -> None:
        """Takes the parts over from a whole network of LTX-2.3, which may have no weights yet."""
        super().__init__()
        self.config = whole.config
        self.proj_in, self.rope = whole.proj_in, whole.rope
        self.time_embed, self.prompt_adaln = whole.time_embed, whole.prompt_adaln
        self.scale_shift_table = whole.scale_shift_table
        self.transformer_blocks = nn.ModuleList(VideoBlock(block) for block in whole.transformer_blocks)
        self.norm_out, self.proj_out = whole.norm_out, whole.proj_out

    def forward(
        self,
        tokens: Float[Tensor, " b n c"],
        *,
        bounds: Float[Tensor, " b axes n 2"],
        prompt_embeds: Float[Tensor, " b l e"],
        timestep: Float[Tensor, " b *each"],
        sigma: Float[Tensor, " b"],
        perturbed_blocks: Collection[int] = (),
    ) -> Float[Tensor, " b n c"]:
        """Predicts noise - data of every token.

        Args:
            tokens: noisy latents, packed.
            bounds: where each token lies: seconds and pixels.
            prompt_embeds: of the text connectors.
            timestep: 1000 sigma of each sample, or of each token.
            sigma: 1000 times the noise level of each sample, which modulates the prompt.
            perturbed_blocks: blocks that pass values on in the place of self-attention.
        """
        rotation = self.rope(bounds, device=tokens.device)
        hidden = self.proj_in(tokens)
        size = len(tokens)
        told: Any = {"batch_size": size, "hidden_dtype": hidden.dtype}
        times = self.time_embed(timestep.flatten(), **told)
        clock, embedded = (part.view(size, -1, part.shape[-1]) for part in times)
        prompt_clock, _ = self.prompt_adaln(sigma, **told)
        for index, block in enumerate(self.transformer_blocks):
            hidden = block(
                hidden,
                prompt=prompt_embeds,
                clock=clock,
                prompt_clock=prompt_clock.view(size, 1, -1),
                rotation=rotation,
                perturbed=index in perturbed_blocks,
            )
        shift, scale = (self.scale_shift_table[None, None] + embedded[:, :, None]).unbind(2)
        answer: Tensor = self.proj_out(self.norm_out(hidden) * (1 + scale) + shift)
        return answer


def without_sound(whole: Any) -> VideoTransformer:
    """Gives the video's part of a network, to which adapters can be added as to the whole."""
    return _adaptable()(whole)


@functools.cache
def _adaptable() -> type[VideoTransformer]:
    from diffusers.loaders.peft import PeftAdapterMixin

    class Adaptable(PeftAdapterMixin, VideoTransformer):
        pass

    return Adaptable


def _modulation(
    table: Float[Tensor, " rows d"], clock: Float[Tensor, " b n rows_d"]
) -> tuple[Float[Tensor, " b n d"], ...]:
    """Adds a block's own rows to those of the clock."""
    return (table[None, None] + clock.unflatten(2, (len(table), -1))).unbind(2)
