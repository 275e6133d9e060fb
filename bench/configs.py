"""Checkpoint folders of the true sizes without weights: what the planner reads of a model.

Sizes are those of the published component configs (bench/shapes.py) and of Qwen3-4B and Qwen3-8B.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.shapes import KLEIN, build

VAE: dict[str, Any] = {
    "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 16, "scaling_factor": 0.3611,
    "shift_factor": 0.1159, "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
    "use_quant_conv": False, "use_post_quant_conv": False,
}  # fmt: skip
QWEN_4B = {
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_attention_heads": 32,
    "tie_word_embeddings": True,
}
QWEN_8B = {
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_attention_heads": 32,
    "tie_word_embeddings": False,
}


def save_configs(model: str, folder: Path) -> Path:
    """Writes the configs of a model of conf/model and gives the folder."""
    from diffusers import AutoencoderKL, AutoencoderKLFlux2
    from transformers import Qwen3Config

    from loralab.memory.loading import empty

    klein = model.removesuffix("_distilled") in KLEIN
    transformer: Any = empty(lambda: build(model.removesuffix("_distilled")))
    vae: Any = empty(AutoencoderKLFlux2 if klein else lambda: AutoencoderKL(**VAE))
    transformer.save_config(folder / "transformer")
    vae.save_config(folder / "vae")
    sizes = QWEN_8B if "9b" in model else QWEN_4B
    Qwen3Config(
        num_hidden_layers=36, num_key_value_heads=8, head_dim=128, vocab_size=151936, **sizes
    ).save_pretrained(folder / "text_encoder")
    index = {
        "_class_name": "Flux2KleinPipeline" if klein else "ZImagePipeline",
        "is_distilled": model.endswith("_distilled"),
        "transformer": ["diffusers", type(transformer).__name__],
        "vae": ["diffusers", type(vae).__name__],
        "text_encoder": ["transformers", "Qwen3ForCausalLM"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    return folder
