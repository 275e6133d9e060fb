"""The nano Z-Image's parts: real classes of diffusers and transformers; text encoder and VAE begin as Klein's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from loralab.nano.vae import CONFIG
from loralab.nano.words import RESERVED, build_tokenizer

KLEIN = Path(__file__).parent / "klein"
TEXT_LAYERS = (
    3  # the pipeline reads the last states but one: those of layer 2, which Klein's training used too
)
SHIFTS = {"base": 6.0, "distilled": 3.0}
STEPS = {"base": 50, "distilled": 8}
GUIDANCE_SCALE = 1.5
VAE: dict[str, Any] = {**CONFIG, "scaling_factor": 1.0, "shift_factor": 0.0}
"""Klein's, whose weights it begins with."""
TRANSFORMER: dict[str, Any] = {
    "all_patch_size": (2,),
    "all_f_patch_size": (1,),
    "in_channels": 8,
    "dim": 192,
    "n_layers": 4,
    "n_refiner_layers": 1,
    "n_heads": 3,
    "n_kv_heads": 3,
    "norm_eps": 1e-5,
    "qk_norm": True,
    "cap_feat_dim": 128,
    "rope_theta": 256.0,
    "t_scale": 1000.0,
    "axes_dims": [16, 24, 24],
    "axes_lens": [256, 32, 32],
}


def build_transformer() -> Any:
    """An untrained transformer of the nano size, whose answer and whose blocks' updates begin small."""
    from diffusers import ZImageTransformer2DModel

    made = ZImageTransformer2DModel(**TRANSFORMER)
    with torch.no_grad():
        made.x_pad_token.normal_(0, 0.02)
        made.cap_pad_token.normal_(0, 0.02)
        for layer in (made.all_final_layer["2-1"].linear, made.all_final_layer["2-1"].adaLN_modulation[1]):
            layer.weight.mul_(0.1)
            layer.bias.zero_()
    return made


def build_text_encoder() -> Any:
    """Klein's first three layers, frozen in fp32; the reserved words are made anew, far from each other.

    Klein was shown that they mean nothing, and its embeddings of them are nearly one.
    """
    from transformers import Qwen3ForCausalLM

    encoder = Qwen3ForCausalLM.from_pretrained(
        KLEIN / "text_encoder", dtype=torch.float32, use_safetensors=True
    ).model
    encoder.layers = encoder.layers[:TEXT_LAYERS]
    encoder.config.num_hidden_layers = TEXT_LAYERS
    encoder.config.layer_types = encoder.config.layer_types[:TEXT_LAYERS]
    rows = build_tokenizer()([f" {word}" for word in RESERVED])["input_ids"]
    table = encoder.embed_tokens.weight.detach()
    fresh = torch.randn(len(rows), table.shape[1], generator=torch.Generator().manual_seed(0))
    table[[row for (row,) in rows]] = table.norm(dim=1).median() * torch.nn.functional.normalize(fresh)
    return encoder.bfloat16().float().eval().requires_grad_(False)


def build_vae() -> Any:
    """Klein's VAE as the plain class, which has the same blocks; latents are not normalised yet."""
    from diffusers import AutoencoderKL, AutoencoderKLFlux2

    vae = AutoencoderKL(**VAE)
    klein = AutoencoderKLFlux2.from_pretrained(KLEIN / "vae", use_safetensors=True).state_dict()
    vae.load_state_dict({key: value for key, value in klein.items() if not key.startswith("bn.")})
    return vae


def embed(text_encoder: Any, tokens: Int[Tensor, " b l"]) -> Float[Tensor, " b l d"]:
    """The prompt embeddings that the pipeline makes of right-padded tokens; the encoder looks back only."""
    output = text_encoder(input_ids=tokens, output_hidden_states=True, use_cache=False)
    return output.hidden_states[-2]


def scheduler(variant: str) -> Any:
    """The Euler scheduler at the constant shift of the variant: 6 for `base`, 3 for `distilled`."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000, shift=SHIFTS[variant], use_dynamic_shifting=False
    )
