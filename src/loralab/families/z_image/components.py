"""Z-Image's networks, the arithmetic of its latents and the names of its layers.

    latents = (mode(vae(pixels)) - shift_factor) * scaling_factor      both from the VAE's config
Conventions: Tongyi-MAI/Z-Image and diffusers' ZImagePipeline.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.denoiser import ForeignNames
from loralab.families.shared.checkpoint import Checkpoint
from loralab.families.shared.components import diffusers_loader
from loralab.families.shared.prompts import chat_text, hidden_states, load_encoder, tokens_of

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


load_transformer = diffusers_loader("transformer", "ZImageTransformer2DModel")
load_vae = diffusers_loader("vae", "AutoencoderKL")


def load_text_encoder(checkpoint: Checkpoint, dtype: torch.dtype) -> nn.Module:
    """Gives the Qwen3 stack of a checkpoint."""
    return load_encoder(checkpoint.weights("text_encoder"), checkpoint.class_name("text_encoder"), dtype)


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
