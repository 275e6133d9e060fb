"""Z-Image's transformer on batches: the arithmetic of its own forward pass without lists, so that it compiles as one.

    velocity = -network(noisy, 1 - sigma, prompts)

The network pads each prompt and each picture to a multiple of 32 tokens with learned ones. Prompt tokens stand at
(1, 0, 0), (2, 0, 0), ..., their padding included; picture tokens at (padded prompt + 1, row, column), their padding at
the origin. Prompts padded further, to the longest of the batch, are masked there.

    rotation in real numbers: x' = x cos - y sin,  y' = x sin + y cos       over neighbouring pairs, in fp32
diffusers rotates by complex numbers, for which torch's compiler writes no code.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

PATCH, MULTIPLE = 2, 32
EMBEDDER = f"{PATCH}-1"


def batched_velocity(
    transformer: Any,
    noisy: Float[Tensor, " b c h w"],
    *,
    sigma: Float[Tensor, " b"],
    prompt_embeds: Float[Tensor, " b l d"],
    lengths: Int[Tensor, " b"],
) -> Float[Tensor, " b c h w"]:
    """Predicts noise - data in fp32; of a row of `prompt_embeds` the first `lengths` are real, the others ignored."""
    timing = transformer.t_embedder((1 - sigma) * transformer.t_scale).type_as(noisy)
    padded = _up(lengths) if _up(prompt_embeds.shape[1]) > MULTIPLE else lengths.new_full((1,), MULTIPLE)
    prompt, prompt_turn, prompt_mask = _prompt(transformer, prompt_embeds, lengths=lengths, padded=padded)
    picture, picture_turn = _picture(transformer, noisy, padded=padded)
    for block in transformer.noise_refiner:
        picture = block(picture, None, picture_turn, timing)
    for block in transformer.context_refiner:
        prompt = block(prompt, prompt_mask, prompt_turn)
    num_picture = picture.shape[1]
    tokens = torch.cat([picture, prompt], dim=1)
    turn = torch.cat([picture_turn, prompt_turn.expand(len(picture_turn), -1, *prompt_turn.shape[2:])], dim=1)
    mask = None if prompt_mask is None else pad(prompt_mask, (num_picture, 0), value=True)
    for block in transformer.layers:
        tokens = block(tokens, mask, turn, timing)
    answers = transformer.all_final_layer[EMBEDDER](tokens[:, :num_picture], c=timing)
    return -_unpatched(answers, like=noisy).float()


def compilable(transformer: Any) -> Any:
    """Puts attention and rotation in real numbers into a transformer, for the compiler's sake, and gives it back."""
    from diffusers.models.attention_processor import Attention

    for module in transformer.modules():
        if isinstance(module, Attention):
            module.processor = RealAttention()
    setattr(transformer, "rope_embedder", RealRotation(transformer.rope_embedder))  # noqa: B010
    return transformer


class RealRotation(nn.Module):
    """Gives diffusers' complex rotations as (cos, sin), from tables that it keeps."""

    def __init__(self, embedder: Any) -> None:
        """Computes the tables of a RopeEmbedder."""
        super().__init__()
        tables = embedder.precompute_freqs_cis(embedder.axes_dims, embedder.axes_lens, theta=embedder.theta)
        for axis, table in enumerate(tables):
            self.register_buffer(f"axis_{axis}", torch.view_as_real(table), persistent=False)

    def forward(self, ids: Int[Tensor, " n 3"]) -> Float[Tensor, " n half 2"]:
        """Gives the rotation of each position."""
        return torch.cat([table[ids[:, axis]] for axis, table in enumerate(self.buffers())], dim=1)


class RealAttention:
    """Attention of one stream, as diffusers' processor but for the form of its rotations."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, " b n d"],
        encoder_hidden_states: None = None,
        attention_mask: Bool[Tensor, " b n"] | None = None,
        freqs_cis: Float[Tensor, " b2 n half 2"] | None = None,
    ) -> Float[Tensor, " b n d"]:
        """Gives the block's update."""
        query, key, value = (
            projection(hidden_states).unflatten(-1, (attn.heads, -1))
            for projection in (attn.to_q, attn.to_k, attn.to_v)
        )
        if attn.norm_q is not None:
            query, key = attn.norm_q(query), attn.norm_k(key)
        if freqs_cis is not None:
            query, key = _rotated(query, freqs_cis), _rotated(key, freqs_cis)
        mask = None if attention_mask is None else attention_mask[:, None, None, :]
        query, key, value = (part.to(value.dtype).transpose(1, 2) for part in (query, key, value))
        update = scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](update))


def _prompt(
    transformer: Any,
    embeds: Float[Tensor, " b l d"],
    *,
    lengths: Int[Tensor, " b"],
    padded: Int[Tensor, " b2"],
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The prompt's tokens, their rotations `[1, n, ...]` and which of them count; all do up to 32."""
    length = embeds.shape[1]
    place = torch.arange(_up(length), device=embeds.device)
    tokens = pad(transformer.cap_embedder(embeds), (0, 0, 0, len(place) - length))
    real = (place < lengths[:, None])[..., None]
    tokens = torch.where(real, tokens, transformer.cap_pad_token.to(tokens.dtype))
    ids = nn.functional.pad((place + 1)[:, None], (0, 2))
    mask = place < padded[:, None] if len(place) > MULTIPLE else None
    return tokens, transformer.rope_embedder(ids)[None], mask


def _picture(
    transformer: Any, noisy: Float[Tensor, " b c h w"], *, padded: Int[Tensor, " b2"]
) -> tuple[Tensor, Tensor]:
    """The picture's tokens and their rotations, `[1, n, ...]` where all prompts have one padded length."""
    rows, columns = noisy.shape[2] // PATCH, noisy.shape[3] // PATCH
    patches = noisy.unflatten(3, (columns, PATCH)).unflatten(2, (rows, PATCH))
    patches = patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    tokens = transformer.all_x_embedder[EMBEDDER](patches)
    lacking = -tokens.shape[1] % MULTIPLE
    if lacking:
        fill = transformer.x_pad_token.to(tokens.dtype).expand(len(tokens), lacking, -1)
        tokens = torch.cat([tokens, fill], dim=1)
    row, column = (torch.arange(size, device=noisy.device) for size in (rows, columns))
    grid = torch.cartesian_prod(row, column).expand(len(padded), -1, -1)
    ids = torch.cat([(padded + 1)[:, None, None].expand(-1, rows * columns, 1), grid], dim=2)
    ids = pad(ids, (0, 0, 0, lacking))
    return tokens, transformer.rope_embedder(ids.flatten(0, 1)).unflatten(0, ids.shape[:2])


def _unpatched(
    answers: Float[Tensor, " b n k"], *, like: Float[Tensor, " b c h w"]
) -> Float[Tensor, " b c h w"]:
    """The tokens' answers as pictures; those of padding are dropped."""
    rows, columns = like.shape[2] // PATCH, like.shape[3] // PATCH
    squares = answers[:, : rows * columns].unflatten(1, (rows, columns)).unflatten(3, (PATCH, PATCH, -1))
    return squares.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def _rotated(
    x: Float[Tensor, " b n h k"], rotation: Float[Tensor, " b2 n half 2"]
) -> Float[Tensor, " b n h k"]:
    first, second = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = rotation.float().unsqueeze(2).unbind(-1)
    return (
        torch.stack([first * cos - second * sin, first * sin + second * cos], dim=-1).flatten(3).to(x.dtype)
    )


def _up(length: Any) -> Any:
    """The next multiple of 32."""
    return (length + MULTIPLE - 1) // MULTIPLE * MULTIPLE
