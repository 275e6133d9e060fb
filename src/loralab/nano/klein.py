"""The nano Klein: the real FLUX.2 Klein classes at a size that a laptop's CPU trains and samples."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from loralab.files import atomic_write
from loralab.nano.words import MAX_SEQUENCE_LENGTH, build_tokenizer

TEXT_LAYERS = (1, 2, 4)
NUM_STEPS = 16
GUIDANCE_SCALE = 2.5
GRID = 8  # 8x8 picture tokens of 32 channels: 64 pixels / 4 (VAE) / 2 (patches)
TEXT: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 64,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
TRANSFORMER: dict[str, Any] = {
    "patch_size": 1,
    "in_channels": 32,
    "num_layers": 2,
    "num_single_layers": 4,
    "attention_head_dim": 64,
    "num_attention_heads": 3,
    "joint_attention_dim": len(TEXT_LAYERS) * TEXT["hidden_size"],
    "timestep_guidance_channels": 256,
    "mlp_ratio": 3.0,
    "axes_dims_rope": (16, 16, 16, 16),
    "rope_theta": 2000,
    "guidance_embeds": False,
}
SCHEDULER: dict[str, Any] = {
    "shift": 3.0,
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
}


def build_networks(vocabulary_size: int) -> tuple[Any, Any]:
    """An untrained text encoder and transformer of the nano size."""
    from diffusers import Flux2Transformer2DModel
    from transformers import Qwen3Config, Qwen3ForCausalLM

    text = Qwen3ForCausalLM(Qwen3Config(vocab_size=vocabulary_size, **TEXT))
    return text, Flux2Transformer2DModel(**TRANSFORMER)


def embed(
    text_encoder: Any, tokens: Int[Tensor, " b l"], *, mask: Int[Tensor, " b l"]
) -> Float[Tensor, " b l d"]:
    """The prompt embeddings that the pipeline would make of these tokens: three layers side by side."""
    output = text_encoder.model(
        input_ids=tokens, attention_mask=mask, output_hidden_states=True, use_cache=False
    )
    return torch.cat([output.hidden_states[layer] for layer in TEXT_LAYERS], dim=-1)


def predict(transformer: Any, noisy: Float[Tensor, " b n c"], *, sigma: Tensor, embeds: Tensor) -> Tensor:
    """Velocity of the picture tokens `noisy` at `sigma`, in fp32."""
    position, place = torch.arange(GRID), torch.arange(1)
    picture_ids = torch.cartesian_prod(place, position, position, place).to(noisy.device)
    text_ids = torch.cartesian_prod(place, place, place, torch.arange(MAX_SEQUENCE_LENGTH)).to(noisy.device)
    output = transformer(
        hidden_states=noisy,
        timestep=sigma,
        guidance=None,
        encoder_hidden_states=embeds,
        txt_ids=text_ids,
        img_ids=picture_ids,
        return_dict=False,
    )
    return output[0].float()


def export(out: Path, *, folder: Path) -> int:
    """Writes the diffusers folder of the states in `out` (averaged weights, bf16); returns its size in bytes.

    The polished decoder is taken where there is one.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline

    from loralab.nano.vae import load_vae

    polished = out / "decoder_state.pt"
    tokenizer = build_tokenizer()
    networks = nn.ModuleList(build_networks(len(tokenizer)))
    networks.load_state_dict(
        torch.load(out / "klein_state.pt", map_location="cpu", weights_only=True)["average"]
    )
    pipeline = Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**SCHEDULER),
        vae=load_vae(polished if polished.exists() else out / "vae_state.pt"),
        text_encoder=networks[0].bfloat16(),
        tokenizer=tokenizer,
        transformer=networks[1].bfloat16(),
        is_distilled=False,
    )
    return replace_folder(pipeline, folder)


def replace_folder(pipeline: Any, folder: Path) -> int:
    """Saves beside `folder`, then takes its place; returns the size in bytes. No file says where parts came from."""
    fresh, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    pipeline.save_pretrained(fresh)
    files = [path for path in fresh.rglob("*") if path.is_file()]
    for path in files:
        path.chmod(0o644)
        if path.suffix == ".json" and "_name_or_path" in (content := json.loads(path.read_text("utf-8"))):
            del content["_name_or_path"]
            atomic_write(path, json.dumps(content, indent=2) + "\n")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
