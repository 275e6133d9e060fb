"""Z-Image's networks, the arithmetic of its latents and the names of its layers.

    latents = (mode(vae(pixels)) - shift_factor) * scaling_factor      both from the VAE's config
Conventions: Tongyi-MAI/Z-Image and diffusers' ZImagePipeline.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.denoiser import ForeignNames
from loralab.families.shared import components
from loralab.families.shared.blueprint import blueprint_of
from loralab.families.shared.prompts import chat_text, hidden_states, load_encoder, tokens_of
from loralab.families.z_image.attention import use_processors

ATTENTION = r"attention\.(to_[qkv]|to_out\.0)"
ATTENTION_MLP = rf"({ATTENTION}|feed_forward\.w[123])"
TARGETS = {
    "attention": rf"layers\.\d+\.{ATTENTION}",
    "attention_mlp": rf"layers\.\d+\.{ATTENTION_MLP}",
    "all": rf"(layers|noise_refiner|context_refiner)\.\d+\.({ATTENTION_MLP}|adaLN_modulation\.0)",
}
"""`attention` and `attention_mlp` leave out refiners and modulation, as musubi-tuner and OneTrainer do; `all` takes
every linear layer in a block, as diffusion-pipe does."""

BLOCK = r"((?:layers|noise_refiner|context_refiner)\.\d+)"
FOREIGN_NAMES = ForeignNames(
    renamed={
        rf"{BLOCK}\.attention\.(?:out|to_out)": r"\1.attention.to_out.0",
        r"x_embedder": r"all_x_embedder.2-1",
        r"final_layer\.(linear|adaLN_modulation\.1)": r"all_final_layer.2-1.\1",
    },
    fused={rf"{BLOCK}\.attention\.qkv": tuple(rf"\1.attention.to_{x}" for x in "qkv")},
)
"""The vendor's own names, as ComfyUI and most trainers write them; other layers are named alike."""


QUANTIZED = r"(layers|noise_refiner|context_refiner)\.\d+\.(attention|feed_forward)\..*"
"""Linear layers that are quantised where weights are: all in blocks but the modulation.
That (2 % of the weights) maps one vector per picture, which steers every token; so do embedders and the last layer."""

load_text_encoder = load_encoder
CLASSES = {"transformer": "ZImageTransformer2DModel", "vae": "AutoencoderKL"}
load_transformer = functools.partial(
    components.load_transformer,
    class_name=CLASSES["transformer"],
    quantized=QUANTIZED,
    prepare=use_processors,
)
load_vae = functools.partial(components.load_vae, class_name=CLASSES["vae"])
blueprint = functools.partial(
    blueprint_of,
    family="z_image",
    classes=CLASSES,
    quantized=QUANTIZED,
    streams={
        "vector": r".*adaLN_modulation.*",
        "picture": r"noise_refiner\..*",
        "prompt": r"context_refiner\..*",
    },
    unrepeated="",
    encoder_layers=None,
    token_multiple=32,
)
"""A block's last product is normalised before it is added, so that its gradient needs it."""
USUAL_PROMPT = 128
"""Tokens of a caption of two sentences in its template, padded; prompts differ in length."""


def encode_prompt(
    encoder: nn.Module, tokenizer: Any, *, prompt: str, max_length: int
) -> Float[Tensor, " l d"]:
    """Embeds a prompt by its last hidden states but one.

    The pipeline pads on the right and strips it again; the encoder is causal, so that padding changes nothing
    before it and is left out here.
    """
    text = chat_text(tokenizer, prompt, thinking=True)
    ids, mask = tokens_of(tokenizer, text, max_length=max_length, padded=False)
    return hidden_states(encoder, ids, mask=mask, layers=(-2,))


@torch.no_grad()
def encode_picture(vae: Any, pixels: Float[Tensor, " 3 height width"]) -> Float[Tensor, " c h w"]:
    """Gives one picture's normalised latents."""
    raw = vae.encode(pixels[None].to(vae.device, torch.float32)).latent_dist.mode()[0]
    return ((raw - vae.config.shift_factor) * vae.config.scaling_factor).cpu()


@torch.no_grad()
def decode_picture(vae: Any, latents: Float[Tensor, " c h w"]) -> Float[Tensor, " 3 height width"]:
    """Gives the picture of normalised latents."""
    raw = latents.to(vae.device, torch.float32) / vae.config.scaling_factor + vae.config.shift_factor
    return vae.decode(raw[None], return_dict=False)[0][0].clamp(-1, 1).cpu()


def dynamic_mu(scheduler_config: dict[str, Any], *, num_tokens: int) -> float:
    """Gives the pipeline's mu for a resolution, which counts only where the scheduler uses it."""
    from diffusers.pipelines.z_image.pipeline_z_image import calculate_shift

    names = {"base_image_seq_len": 256, "max_image_seq_len": 4096, "base_shift": 0.5, "max_shift": 1.15}
    return float(
        calculate_shift(num_tokens, *[scheduler_config.get(name, value) for name, value in names.items()])
    )
