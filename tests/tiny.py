"""Tiny twins: the real diffusers and transformers classes with small random weights, saved as pipeline folders.

Everything that is one or zero after construction and scales or shifts something later (BatchNorm statistics,
pad tokens) is randomised, since a mistake in its use would be invisible otherwise. Nothing is fetched.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

CAPTIONS = (
    "a photo of a cat on the moon",
    "a robot is dancing, painted in oil",
    "the quick brown fox jumps over the lazy dog",
    "user assistant system think red green blue small large 0123456789 !?.,:;-",
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
CHAT_TEMPLATE = (
    "{%- for turn in messages -%}"
    "{{ '<|im_start|>' + turn.role + '\n' + turn.content + '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false -%}"
    "{{ '<think>\n\n</think>\n\n' }}"
    "{%- endif -%}"
    "{%- endif -%}"
)
"""What Qwen3's template does with one user turn: an empty think block where thinking is off."""


def tokenizer() -> Any:
    """Gives a Qwen2 tokenizer with byte-level merges learned from a few captions."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2TokenizerFast

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, show_progress=False, initial_alphabet=alphabet, special_tokens=list(SPECIAL)
    )
    learner.train_from_iterator(CAPTIONS, trainer)
    learned = json.loads(learner.to_str())["model"]
    merges = [tuple(pair) for pair in learned["merges"]]
    made = Qwen2TokenizerFast(
        vocab=learned["vocab"],
        merges=merges,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=4096,
    )
    made.add_tokens([AddedToken(word, special=True) for word in SPECIAL[1:]])
    made.chat_template = CHAT_TEMPLATE
    made.padding_side = "right"
    return made


def text_config(*, num_layers: int) -> Any:
    """Gives a Qwen3 config of width 16."""
    from transformers import Qwen3Config

    return Qwen3Config(
        hidden_size=16, intermediate_size=32, num_hidden_layers=num_layers, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, vocab_size=512, max_position_embeddings=1024,
        tie_word_embeddings=True,
    )  # fmt: skip


def klein_transformer(*, num_layers: int = 2, num_single_layers: int = 3) -> Any:
    """Gives a Flux2 transformer of width 32 with as many blocks as asked for."""
    from diffusers import Flux2Transformer2DModel

    return Flux2Transformer2DModel(
        patch_size=1, in_channels=16, num_layers=num_layers, num_single_layers=num_single_layers,
        attention_head_dim=16, num_attention_heads=2, joint_attention_dim=48, timestep_guidance_channels=256,
        mlp_ratio=3.0, axes_dims_rope=(4, 4, 4, 4), rope_theta=2000, guidance_embeds=False,
    )  # fmt: skip


def zimage_transformer(*, num_layers: int = 2, num_refiner_layers: int = 1) -> Any:
    """Gives a Z-Image transformer of width 32 with as many blocks as asked for and random pad tokens."""
    from diffusers import ZImageTransformer2DModel

    made = ZImageTransformer2DModel(
        all_patch_size=(2,), all_f_patch_size=(1,), in_channels=16, dim=32, n_layers=num_layers,
        n_refiner_layers=num_refiner_layers, n_heads=2, n_kv_heads=2, norm_eps=1e-5, qk_norm=True,
        cap_feat_dim=16, rope_theta=256.0, t_scale=1000.0, axes_dims=[8, 4, 4], axes_lens=[1024, 64, 64],
    )  # fmt: skip
    with torch.no_grad():
        made.x_pad_token.normal_()
        made.cap_pad_token.normal_()
    return made


def save_klein(folder: Path, *, seed: int = 0, is_distilled: bool = False, **blocks: int) -> Path:
    """Saves a tiny FLUX.2 Klein pipeline (latents 16 channels, 1/16 of the side; 28 text layers)."""
    from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
    from transformers import Qwen3ForCausalLM

    torch.manual_seed(seed)
    vae = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8), layers_per_block=1, latent_channels=4, norm_num_groups=4,
        sample_size=64, use_quant_conv=True, use_post_quant_conv=True, patch_size=(2, 2),
    ).eval()  # fmt: skip
    vae.bn.running_mean.normal_(0, 0.3)
    vae.bn.running_var.uniform_(0.5, 2.0)
    scheduler = FlowMatchEulerDiscreteScheduler(
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    )
    Flux2KleinPipeline(
        scheduler=scheduler,
        vae=vae,
        text_encoder=Qwen3ForCausalLM(text_config(num_layers=28)).eval(),
        tokenizer=tokenizer(),
        transformer=klein_transformer(**blocks),
        is_distilled=is_distilled,
    ).save_pretrained(folder)
    return folder


def save_zimage(
    folder: Path, *, seed: int = 0, shift: float = 3.0, bare_encoder: bool = False, **blocks: int
) -> Path:
    """Saves a tiny Z-Image pipeline (latents 16 channels, 1/8 of the side); `bare_encoder` has no lm head."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline
    from transformers import Qwen3ForCausalLM, Qwen3Model

    torch.manual_seed(seed)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8), layers_per_block=1, latent_channels=16, norm_num_groups=4,
        sample_size=64, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False,
    ).eval()  # fmt: skip
    encoder_class = Qwen3Model if bare_encoder else Qwen3ForCausalLM
    ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(
            num_train_timesteps=1000, shift=shift, use_dynamic_shifting=False
        ),
        vae=vae,
        text_encoder=encoder_class(text_config(num_layers=4)).eval(),
        tokenizer=tokenizer(),
        transformer=zimage_transformer(**blocks),
    ).save_pretrained(folder)
    return folder
