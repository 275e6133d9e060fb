"""A tiny LTX-Video 2.3 transformer: the real diffusers class, every parameter random, and inputs of its sizes.

Tables and biases that start at zero or one would hide mistakes in their use. Video is 32 wide (so that the rotary
embedding is padded, as it is at the real 4096), audio 16; a video token has 8 channels, an audio token 2 of 4 mel bins.
"""

from __future__ import annotations

from typing import Any

import torch

CHANNELS, AUDIO_WIDTH, PROMPT_WIDTH, AUDIO_PROMPT_WIDTH = 8, 8, 32, 16
REAL = {
    "rope_type": "split", "gated_attn": True, "cross_attn_mod": True, "audio_gated_attn": True,
    "audio_cross_attn_mod": True, "use_prompt_embeddings": False, "perturbed_attn": True,
}  # fmt: skip
"""Where the config of 2.3 differs from the class's defaults (diffusers' scripts/convert_ltx2_to_diffusers.py)."""


def ltx_transformer(*, seed: int = 0, num_layers: int = 2) -> Any:
    """Gives the transformer in inference mode, with its parameters frozen."""
    from diffusers import LTX2VideoTransformer3DModel

    made = LTX2VideoTransformer3DModel(
        in_channels=CHANNELS, out_channels=CHANNELS, num_attention_heads=2, attention_head_dim=16,
        cross_attention_dim=PROMPT_WIDTH, audio_in_channels=AUDIO_WIDTH, audio_out_channels=AUDIO_WIDTH,
        audio_num_attention_heads=2, audio_attention_head_dim=8, audio_cross_attention_dim=AUDIO_PROMPT_WIDTH,
        num_layers=num_layers, caption_channels=16, **REAL,
    )  # fmt: skip
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            scale = parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.2
            parameter.copy_(torch.randn(parameter.shape, generator=random) * scale)
    return made.requires_grad_(False).eval()


def real_transformer() -> Any:
    """Gives the transformer of LTX-Video 2.3 without weights."""
    from diffusers import LTX2VideoTransformer3DModel

    with torch.device("meta"):
        return LTX2VideoTransformer3DModel(**REAL)
