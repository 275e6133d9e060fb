"""Pipeline folders of the true shapes, in safetensors files that are sparse on the disk.

The first sixteenth of each matrix's rows is random, the rest zero and a hole in the file: 30 GB of Klein 9B with its
text encoder take 2.6 GB. Memory and the work of a step do not depend on the values. Modulation is random throughout:
its gates are its last rows, and behind a gate of zero no adapter learns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from bench.configs import VAE
from bench.shapes import KLEIN, build

from loralab.memory.loading import empty

SHARE = 16
ENCODERS: dict[str, dict[str, Any]] = {
    "flux2_klein4b": {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 28},
    "flux2_klein9b": {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 28},
    "zimage_turbo": {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36},
}
"""Qwen3-4B and Qwen3-8B; Klein reads 28 of 36 layers, and only those are written."""


def save_folder(model: str, folder: Path) -> Path:
    """Saves a pipeline folder for a model of conf/model."""
    from diffusers import AutoencoderKL, AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler
    from tests.tiny import tokenizer

    if model in KLEIN:
        vae: Any = AutoencoderKLFlux2()
        scheduler = FlowMatchEulerDiscreteScheduler(
            shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15, base_image_seq_len=256,
            max_image_seq_len=4096,
        )  # fmt: skip
    else:
        vae = AutoencoderKL(
            **VAE,
        )  # fmt: skip
        scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=False)
    transformer: Any = empty(lambda: build(model))
    vae.save_pretrained(folder / "vae")
    scheduler.save_pretrained(folder / "scheduler")
    tokenizer().save_pretrained(folder / "tokenizer")
    transformer.save_config(folder / "transformer")
    shapes = {name: tuple(parameter.shape) for name, parameter in transformer.named_parameters()}
    save_sparse(shapes, folder / "transformer" / "diffusion_pytorch_model.safetensors")
    _save_encoder(model, folder / "text_encoder")
    classes = {
        "_class_name": "Flux2KleinPipeline" if model in KLEIN else "ZImagePipeline",
        "vae": ["diffusers", type(vae).__name__],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "tokenizer": ["transformers", "Qwen2Tokenizer"],
        "text_encoder": ["transformers", "Qwen3ForCausalLM"],
        "transformer": ["diffusers", type(transformer).__name__],
    }
    (folder / "model_index.json").write_text(json.dumps(classes))
    return folder


def _save_encoder(model: str, folder: Path) -> None:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=151936, num_attention_heads=32, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
        **ENCODERS[model],
    )  # fmt: skip
    encoder = empty(lambda: Qwen3ForCausalLM(config))
    config.save_pretrained(folder)
    shapes = {
        name: tuple(parameter.shape)
        for name, parameter in encoder.named_parameters()
        if not name.startswith("lm_head")
    }
    save_sparse(shapes, folder / "model.safetensors")


def save_sparse(shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Writes bf16 tensors of these shapes: norms 1, other vectors small, matrices random in their first rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    source = torch.Generator().manual_seed(0)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        start = file.tell()
        for name, shape in shapes.items():
            file.seek(start + header[name]["data_offsets"][0])
            file.write(_values(name, shape, source).view(torch.uint8).numpy().tobytes())
        file.truncate(start + end)


def _values(name: str, shape: tuple[int, ...], source: torch.Generator) -> torch.Tensor:
    if len(shape) == 1:
        fill = 1.0 if name.endswith("weight") else 0.01
        return torch.full(shape, fill, dtype=torch.bfloat16)
    rows = shape[0] if "modulation" in name.lower() else -(-shape[0] // SHARE)
    pool = torch.randn(rows, shape[-1], generator=source).to(torch.bfloat16)
    return (pool * shape[-1] ** -0.5).contiguous()


def save_pictures(folder: Path, side: int) -> None:
    """Saves eight random pictures with captions."""
    from PIL import Image

    folder.mkdir(parents=True)
    source = torch.Generator().manual_seed(0)
    for index in range(8):
        pixels = torch.randint(0, 256, (side, side, 3), generator=source, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text(f"a photo of a cat, number {index}")
