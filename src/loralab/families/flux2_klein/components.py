"""FLUX.2 Klein's networks, the arithmetic of its latents and the names of its layers.

    latents = (patchify(mode(vae(pixels))) - mean) / sqrt(var + eps)      mean, var: the VAE's BatchNorm
    patchify: [b, c, 2h, 2w] -> [b, 4c, h, w], channel index = ((c * 2) + row) * 2 + column
    ids of a picture token: (0, row, column, 0); of a prompt token: (0, 0, 0, place)
Conventions: black-forest-labs/flux2 and diffusers' Flux2KleinPipeline.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from loralab.denoiser import ForeignNames
from loralab.families.flux2_klein.attention import use_processors
from loralab.families.shared import components
from loralab.families.shared.blueprint import blueprint_of
from loralab.families.shared.checkpoint import Checkpoint
from loralab.families.shared.prompts import chat_text, hidden_states, load_encoder, tokens_of
from loralab.memory import Placement

ATTENTION = (
    r"transformer_blocks\.\d+\.attn\.(to_[qkv]|to_out\.0)"
    r"|single_transformer_blocks\.\d+\.attn\.(to_qkv_mlp_proj|to_out)"
)
ATTENTION_MLP = (
    r"transformer_blocks\.\d+\.attn\.(to_[qkv]|to_out\.0|add_[qkv]_proj|to_add_out)"
    r"|transformer_blocks\.\d+\.ff(_context)?\.linear_(in|out)"
    r"|single_transformer_blocks\.\d+\.attn\.(to_qkv_mlp_proj|to_out)"
)
MODULATION = r"(double_stream_modulation_(img|txt)|single_stream_modulation)\.linear"
TARGETS = {
    "attention": ATTENTION,
    "attention_mlp": ATTENTION_MLP,
    "all": f"{ATTENTION_MLP}|{MODULATION}",
}
"""`attention`: what the diffusers training script adapts. Single blocks hold attention and MLP in two fused
layers, and leaving out their `to_out` gives bad results (unsloth, pull request 8267).
`attention_mlp`: every linear layer in a block. `all`: and the modulation, which the blocks share."""

FOREIGN_NAMES = ForeignNames(
    renamed={
        r"double_blocks\.(\d+)\.img_attn\.proj": r"transformer_blocks.\1.attn.to_out.0",
        r"double_blocks\.(\d+)\.txt_attn\.proj": r"transformer_blocks.\1.attn.to_add_out",
        r"double_blocks\.(\d+)\.img_mlp\.0": r"transformer_blocks.\1.ff.linear_in",
        r"double_blocks\.(\d+)\.img_mlp\.2": r"transformer_blocks.\1.ff.linear_out",
        r"double_blocks\.(\d+)\.txt_mlp\.0": r"transformer_blocks.\1.ff_context.linear_in",
        r"double_blocks\.(\d+)\.txt_mlp\.2": r"transformer_blocks.\1.ff_context.linear_out",
        r"single_blocks\.(\d+)\.linear1": r"single_transformer_blocks.\1.attn.to_qkv_mlp_proj",
        r"single_blocks\.(\d+)\.linear2": r"single_transformer_blocks.\1.attn.to_out",
        r"(double_stream_modulation_(?:img|txt)|single_stream_modulation)\.lin": r"\1.linear",
        r"img_in": r"x_embedder",
        r"txt_in": r"context_embedder",
        r"time_in\.in_layer": r"time_guidance_embed.timestep_embedder.linear_1",
        r"time_in\.out_layer": r"time_guidance_embed.timestep_embedder.linear_2",
        r"final_layer\.linear": r"proj_out",
    },
    fused={
        r"double_blocks\.(\d+)\.img_attn\.qkv": tuple(rf"transformer_blocks.\1.attn.to_{x}" for x in "qkv"),
        r"double_blocks\.(\d+)\.txt_attn\.qkv": tuple(
            rf"transformer_blocks.\1.attn.add_{x}_proj" for x in "qkv"
        ),
    },
)
"""The vendor's own names, as ComfyUI and most trainers write them. `final_layer.adaLN_modulation.1` is left out on
purpose: its output has shift before scale, ours scale before shift, so that rows would land in wrong places."""


QUANTIZED = r"(single_)?transformer_blocks\.\d+\..*"
"""Linear layers that are quantised where weights are: all in blocks. What stays in bf16 (embedders, the shared
modulation, the last layer) is 3 % of Klein 9B's weights and steers every token."""

CLASSES = {"transformer": "Flux2Transformer2DModel", "vae": "AutoencoderKLFlux2"}
load_transformer = functools.partial(
    components.load_transformer,
    class_name=CLASSES["transformer"],
    quantized=QUANTIZED,
    prepare=use_processors,
)
load_vae = functools.partial(components.load_vae, class_name=CLASSES["vae"])
blueprint = functools.partial(
    blueprint_of,
    family="flux2_klein",
    classes=CLASSES,
    quantized=QUANTIZED,
    streams={
        "picture": r"transformer_blocks\.\d+\.(attn\.(to_[qkv]|to_out\.0)|ff\..*)",
        "prompt": r"transformer_blocks\.\d+\.(attn\.(add_[qkv]_proj|to_add_out)|ff_context\..*)",
    },
    unrepeated=r"transformer_blocks\.\d+\.ff(_context)?\.linear_out|single_transformer_blocks\.\d+\.attn\.to_out",
)
"""Blocks end in a product whose result is only added, which no gradient needs."""


def load_text_encoder(checkpoint: Checkpoint, placement: Placement, *, layers: Sequence[int]) -> nn.Module:
    """Gives the Qwen3 stack up to one layer past the deepest that is read; later ones have no effect."""
    return load_encoder(checkpoint, placement, num_layers=max(layers) + 1)


def encode_prompt(
    encoder: nn.Module, tokenizer: Any, *, prompt: str, layers: Sequence[int], max_length: int
) -> Float[Tensor, " l d"]:
    """Embeds a prompt in exactly `max_length` tokens: padding is attended to, no mask reaches the transformer."""
    text = chat_text(tokenizer, prompt, thinking=False)
    ids, mask = tokens_of(tokenizer, text, max_length=max_length, padded=True)
    return hidden_states(encoder, ids, mask=mask, layers=layers)


def patchify(latents: Float[Tensor, " b c h2 w2"]) -> Float[Tensor, " b c4 h w"]:
    """Folds 2x2 neighbours into channels."""
    return nn.functional.pixel_unshuffle(latents, 2)


def unpatchify(latents: Float[Tensor, " b c4 h w"]) -> Float[Tensor, " b c h2 w2"]:
    """Unfolds channels into 2x2 neighbours."""
    return nn.functional.pixel_shuffle(latents, 2)


def statistics(vae: Any) -> tuple[Float[Tensor, " c 1 1"], Float[Tensor, " c 1 1"]]:
    """Gives mean and deviation of the patchified latents."""
    deviation = torch.sqrt(vae.bn.running_var + vae.config.batch_norm_eps)
    return vae.bn.running_mean[:, None, None], deviation[:, None, None]


@torch.no_grad()
def encode_picture(vae: Any, pixels: Float[Tensor, " 3 height width"]) -> Float[Tensor, " c h w"]:
    """Gives one picture's normalised latents."""
    mean, deviation = statistics(vae)
    raw = vae.encode(pixels[None].to(mean.device, torch.float32)).latent_dist.mode()
    return ((patchify(raw)[0] - mean) / deviation).cpu()


@torch.no_grad()
def decode_picture(vae: Any, latents: Float[Tensor, " c h w"]) -> Float[Tensor, " 3 height width"]:
    """Gives the picture of normalised latents."""
    mean, deviation = statistics(vae)
    raw = unpatchify((latents.to(mean.device, torch.float32) * deviation + mean)[None])
    return vae.decode(raw, return_dict=False)[0][0].clamp(-1, 1).cpu()


def pack(latents: Float[Tensor, " b c h w"]) -> Float[Tensor, " b n c"]:
    """Lines up positions row by row as tokens."""
    return latents.flatten(2).transpose(1, 2)


def unpack(tokens: Float[Tensor, " b n c"], *, height: int, width: int) -> Float[Tensor, " b c h w"]:
    """Puts tokens back into rows and columns."""
    return tokens.transpose(1, 2).unflatten(2, (height, width))


def picture_ids(*, height: int, width: int, device: torch.device) -> Int[Tensor, " n 4"]:
    """Gives (0, row, column, 0) for every picture token, counted on the device: a copy would make the host wait."""
    zero, row, column = (torch.arange(count, device=device) for count in (1, height, width))
    return torch.cartesian_prod(zero, row, column, zero)


def prompt_ids(length: int, *, device: torch.device) -> Int[Tensor, " l 4"]:
    """Gives (0, 0, 0, place) for every prompt token."""
    return nn.functional.pad(torch.arange(length, device=device)[:, None], (3, 0))


def empirical_mu(*, num_tokens: int, num_steps: int) -> float:
    """Gives the shift (as mu) of the vendor's sampler for so many tokens and steps."""
    from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

    return float(compute_empirical_mu(image_seq_len=num_tokens, num_steps=num_steps))
