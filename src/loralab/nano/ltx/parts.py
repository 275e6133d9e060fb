"""The nano LTX-Video's parts: real classes of diffusers and transformers with tiny configurations.

Compression is the real one, 32 x 32 pixels and 8 frames, 4 columns of 10 ms of sound and 4 mel bins: what is told in
pixels and seconds (buckets, positions, references) is told as for LTX-2.3. Rotary positions reach as far as the clips
do, 256 pixels and 2 seconds, and their frequencies span 100 instead of 10,000.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

LATENT_CHANNELS, AUDIO_CHANNELS, MEL_BINS = 48, 2, 64
WIDTH, AUDIO_WIDTH, HEADS = 192, 64, 4
"""Both streams have as many heads, as attention between them needs."""
MAX_LENGTH = 32
GAIN = 1.5
"""Of the video VAE's first weights over PyTorch's, which let signals shrink from layer to layer."""
VIDEO_VAE: dict[str, Any] = {
    "latent_channels": LATENT_CHANNELS,
    "block_out_channels": (96, 96, 96),
    "down_block_types": ("LTX2VideoDownBlock3D",) * 3,
    "decoder_block_out_channels": (48, 48, 96),
    "layers_per_block": (1, 0, 0, 1),
    "decoder_layers_per_block": (1, 1, 1, 1),
    "spatio_temporal_scaling": (True,) * 3,
    "decoder_spatio_temporal_scaling": (True,) * 3,
    "decoder_inject_noise": (False,) * 4,
    "downsample_type": ("spatiotemporal", "spatiotemporal", "temporal"),
    "upsample_type": ("temporal", "spatiotemporal", "spatiotemporal"),
    "upsample_residual": (True,) * 3,
    "upsample_factor": (1, 1, 2),
    "patch_size": 8,
    "encoder_causal": True,
    "decoder_causal": False,
    "decoder_spatial_padding_mode": "zeros",
    "spatial_compression_ratio": 32,
    "temporal_compression_ratio": 8,
}
AUDIO_VAE: dict[str, Any] = {
    "base_channels": AUDIO_CHANNELS * MEL_BINS // 4,  # the class keeps as many statistics of latents
    "ch_mult": (1, 1, 1),
    "num_res_blocks": 1,
    "in_channels": 2,
    "output_channels": 2,
    "resolution": 256,
    "latent_channels": AUDIO_CHANNELS,
    "causality_axis": "height",
    "sample_rate": 16_000,
    "mel_hop_length": 160,
    "mel_bins": MEL_BINS,
}
VOCODER: dict[str, Any] = {
    "in_channels": 2 * MEL_BINS,
    "hidden_channels": 96,
    "upsample_kernel_sizes": [16, 15, 8],
    "upsample_factors": [8, 5, 4],
    "resnet_kernel_sizes": [3, 7],
    "resnet_dilations": [[1, 3, 5], [1, 3, 5]],
    "output_sampling_rate": 16_000,
}
TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "query_pre_attn_scalar": 32,
    "sliding_window": 32,
    "layer_types": ["full_attention"] * 2,
    "max_position_embeddings": 128,
}
CONNECTORS: dict[str, Any] = {
    "caption_channels": TEXT["hidden_size"],
    "text_proj_in_factor": TEXT["num_hidden_layers"] + 1,
    "video_connector_num_attention_heads": HEADS,
    "video_connector_attention_head_dim": WIDTH // HEADS,
    "video_connector_num_layers": 1,
    "video_connector_num_learnable_registers": MAX_LENGTH,
    "video_gated_attn": True,
    "audio_connector_num_attention_heads": HEADS,
    "audio_connector_attention_head_dim": AUDIO_WIDTH // HEADS,
    "audio_connector_num_layers": 1,
    "audio_connector_num_learnable_registers": MAX_LENGTH,
    "audio_gated_attn": True,
    "connector_rope_base_seq_len": 64,
    "rope_type": "split",
    "per_modality_projections": True,
    "video_hidden_dim": WIDTH,
    "audio_hidden_dim": AUDIO_WIDTH,
    "proj_bias": True,
}
TRANSFORMER: dict[str, Any] = {
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "num_attention_heads": HEADS,
    "attention_head_dim": WIDTH // HEADS,
    "cross_attention_dim": WIDTH,
    "audio_in_channels": AUDIO_CHANNELS * MEL_BINS // 4,
    "audio_out_channels": AUDIO_CHANNELS * MEL_BINS // 4,
    "audio_num_attention_heads": HEADS,
    "audio_attention_head_dim": AUDIO_WIDTH // HEADS,
    "audio_cross_attention_dim": AUDIO_WIDTH,
    "num_layers": 5,
    "caption_channels": TEXT["hidden_size"],
    "pos_embed_max_pos": 2,
    "audio_pos_embed_max_pos": 2,
    "base_height": 256,
    "base_width": 256,
    "rope_theta": 100.0,
    "rope_type": "split",
    "gated_attn": True,
    "cross_attn_mod": True,
    "audio_gated_attn": True,
    "audio_cross_attn_mod": True,
    "use_prompt_embeddings": False,
    "perturbed_attn": True,
}


def build_video_vae() -> nn.Module:
    """An untrained video VAE, whose latents start with little noise of their own and whose layers do not fade."""
    from diffusers import AutoencoderKLLTX2Video

    vae = AutoencoderKLLTX2Video(**VIDEO_VAE)
    with torch.no_grad():  # the last channel of the encoder is the logarithm of all variances
        for name, layer in vae.named_modules():
            if isinstance(layer, nn.Conv3d) and "conv_out" not in name:
                layer.weight *= GAIN
        vae.encoder.conv_out.conv.weight[-1] *= 0.1
        vae.encoder.conv_out.conv.bias[-1] = -5.0
    return vae


def build_audio_vae() -> nn.Module:
    """An untrained VAE of spectrograms, whose latents start with little noise of their own."""
    from diffusers import AutoencoderKLLTX2Audio

    vae = AutoencoderKLLTX2Audio(**AUDIO_VAE)
    with torch.no_grad():
        convolution = vae.encoder.conv_out.conv
        convolution.weight[AUDIO_CHANNELS:] *= 0.1
        convolution.bias[AUDIO_CHANNELS:] = -5.0
    return vae


def build_vocoder() -> nn.Module:
    """An untrained vocoder."""
    from diffusers.pipelines.ltx2 import LTX2Vocoder

    return LTX2Vocoder(**VOCODER)


def build_gemma(vocabulary_size: int) -> nn.Module:
    """The text encoder: two layers drawn at random and never trained, the same each time.

    What the connectors read of every token is its random embedding and two random mixtures of those before it.
    """
    from transformers import Gemma3TextConfig, Gemma3TextModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Gemma3TextModel(Gemma3TextConfig(vocab_size=vocabulary_size, **TEXT))
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(0, parameter.shape[1] ** -0.5)
    return made.bfloat16().float().eval().requires_grad_(False)


def build_connectors() -> nn.Module:
    """Untrained connectors."""
    from diffusers.pipelines.ltx2 import LTX2TextConnectors

    return LTX2TextConnectors(**CONNECTORS)


def build_transformer() -> nn.Module:
    """An untrained transformer, whose answer and whose blocks' updates begin small."""
    from diffusers import LTX2VideoTransformer3DModel

    made = LTX2VideoTransformer3DModel(**TRANSFORMER)
    with torch.no_grad():
        for name, module in made.named_modules():
            if name.endswith(
                ("proj_out", "time_embed.linear", "adaln.linear", "scale_shift.linear", "gate.linear")
            ):
                module.weight.mul_(0.1)
                module.bias.zero_()
    return made


def scheduler() -> Any:
    """The Euler scheduler that shifts by size, as the vendor's; a clip of the nano's size is not shifted."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000,
        use_dynamic_shifting=True,
        base_shift=0.0,
        max_shift=2.05,
        base_image_seq_len=108,
        max_image_seq_len=4096,
    )
