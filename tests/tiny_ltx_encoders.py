"""Tiny LTX-Video 2.3 encoders: Gemma, connectors, both VAEs and the vocoder, saved as a pipeline folder.

As in `tests.tiny`, everything that is zero or one after construction is randomised. A real checkpoint differs in sizes
only: latents have 8 channels here (128 there), audio latents 2 channels and 4 bins (8 and 16), spectrograms 16 bins
(64), connectors 8 registers (128).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tests.tiny import CAPTIONS

WORDS = [*"abcdefghijklmnopqrstuvwxyz0123456789.,!?", "▁"]
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
MEL_BINS = 16


def gemma_tokenizer() -> Any:
    """Gives a Gemma tokenizer with merges learned from a few captions; it begins a text with <bos>."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import GemmaTokenizerFast

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    special = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    learner.train_from_iterator(
        CAPTIONS,
        trainers.BpeTrainer(
            vocab_size=340, show_progress=False, initial_alphabet=WORDS, special_tokens=special
        ),
    )
    learned = json.loads(learner.to_str())["model"]
    merges = [tuple(pair) for pair in learned["merges"]]
    made = GemmaTokenizerFast(vocab=learned["vocab"], merges=merges, model_max_length=1024)
    made._tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", made.bos_token_id)]
    )
    return made


def gemma() -> Any:
    """Gives a Gemma 3 of 3 layers of width 16, with its picture tower, as LTX-2.3 has it."""
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    text = Gemma3TextConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=1,
        head_dim=8, vocab_size=512, sliding_window=8, query_pre_attn_scalar=8,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    )  # fmt: skip
    picture = SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    made = Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config=text.to_dict(), vision_config=picture.to_dict(), mm_tokens_per_image=4,
            image_token_index=500, boi_token_index=501, eoi_token_index=502,
        )
    ).eval()  # fmt: skip
    return _randomised(made, "norm")


def connectors() -> Any:
    """Gives connectors of one gated block for 3 + 1 layers of Gemma: video width 32, audio width 16, 8 registers."""
    from diffusers.pipelines.ltx2 import LTX2TextConnectors

    return LTX2TextConnectors(
        caption_channels=16, text_proj_in_factor=4, rope_type="split", rope_double_precision=True,
        video_connector_num_attention_heads=2, video_connector_attention_head_dim=16, video_connector_num_layers=1,
        video_connector_num_learnable_registers=8, video_gated_attn=True,
        audio_connector_num_attention_heads=2, audio_connector_attention_head_dim=8, audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=8, audio_gated_attn=True,
        per_modality_projections=True, video_hidden_dim=32, audio_hidden_dim=16, proj_bias=True,
    ).eval()  # fmt: skip


def video_vae() -> Any:
    """Gives a video VAE of the 2.3 layout: 1/32 of the sides, 1 + 1/8 of the other frames."""
    from diffusers import AutoencoderKLLTX2Video

    made = AutoencoderKLLTX2Video(
        latent_channels=8, block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
        layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5, spatio_temporal_scaling=(True,) * 4,
        decoder_spatio_temporal_scaling=(True,) * 4, decoder_inject_noise=(False,) * 5,
        downsample_type=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        upsample_type=("spatiotemporal", "spatiotemporal", "temporal", "spatial"),
        upsample_residual=(False,) * 4, upsample_factor=(1,) * 4, patch_size=4, patch_size_t=1,
        encoder_causal=True, decoder_causal=False, decoder_spatial_padding_mode="zeros", scaling_factor=0.7,
        spatial_compression_ratio=32, temporal_compression_ratio=8,
    ).eval()  # fmt: skip
    return _with_statistics(made)


def audio_vae() -> Any:
    """Gives an audio VAE: 2 latent channels, 4 latent bins, a quarter of the spectrogram's frames."""
    from diffusers import AutoencoderKLLTX2Audio

    made = AutoencoderKLLTX2Audio(
        base_channels=8, output_channels=2, ch_mult=(1, 2, 4), num_res_blocks=1, in_channels=2, resolution=32,
        latent_channels=2, mel_bins=MEL_BINS, causality_axis="height", is_causal=True,
    ).eval()  # fmt: skip
    return _with_statistics(made)


def vocoder() -> Any:
    """Gives a vocoder with bandwidth extension: spectrogram frames of 160 samples at 16 kHz to 48 kHz."""
    from diffusers.pipelines.ltx2 import LTX2VocoderWithBWE

    made = LTX2VocoderWithBWE(
        in_channels=2 * MEL_BINS, hidden_channels=64, resnet_kernel_sizes=[3], resnet_dilations=[[1, 3, 5]],
        bwe_in_channels=2 * MEL_BINS, bwe_hidden_channels=32, bwe_resnet_kernel_sizes=[3],
        bwe_resnet_dilations=[[1, 3, 5]], num_mel_channels=MEL_BINS,
    ).eval()  # fmt: skip
    for buffer in (made.mel_stft.mel_basis, made.mel_stft.stft_fn.forward_basis):
        buffer.uniform_(0, 0.1)
    return made


def transformer() -> Any:
    """Gives a transformer of one block that fits these latents and embeddings, every parameter random."""
    from diffusers import LTX2VideoTransformer3DModel

    made = LTX2VideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=16, cross_attention_dim=32,
        audio_in_channels=8, audio_out_channels=8, audio_num_attention_heads=2, audio_attention_head_dim=8,
        audio_cross_attention_dim=16, num_layers=1, caption_channels=16, rope_type="split", gated_attn=True,
        cross_attn_mod=True, audio_gated_attn=True, audio_cross_attn_mod=True, use_prompt_embeddings=False,
        perturbed_attn=True,
    ).eval()  # fmt: skip
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.2)
    return made


def save_ltx_encoders(folder: Path, *, seed: int = 0) -> Path:
    """Saves a tiny LTX2Pipeline."""
    from diffusers import FlowMatchEulerDiscreteScheduler, LTX2Pipeline

    torch.manual_seed(seed)
    LTX2Pipeline(
        text_encoder=gemma(),
        tokenizer=gemma_tokenizer(),
        connectors=connectors(),
        vae=video_vae(),
        audio_vae=audio_vae(),
        vocoder=vocoder(),
        transformer=transformer(),
        scheduler=FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, base_image_seq_len=1024
        ),
    ).save_pretrained(folder)
    return folder


def _randomised(network: Any, part: str) -> Any:
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if part in name:
                parameter.normal_(0, 0.3)
    return network


def _with_statistics(vae: Any) -> Any:
    with torch.no_grad():
        vae.latents_mean.normal_(0, 0.3)
        vae.latents_std.uniform_(0.5, 1.5)
    return vae
