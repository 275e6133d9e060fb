"""A model without weights, for the planner: networks on the meta device, made from the component configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from loralab.denoiser import Component
from loralab.families.shared.checkpoint import Checkpoint
from loralab.families.shared.components import diffusers_class
from loralab.families.shared.prompts import QUANTIZED as ENCODER_QUANTIZED
from loralab.families.shared.prompts import empty_encoder
from loralab.memory.loading import empty
from loralab.memory.plan import Blueprint


def blueprint_of(
    checkpoint: Checkpoint,
    *,
    family: str,
    classes: Mapping[str, str],
    quantized: str,
    streams: Mapping[str, str],
    unrepeated: str,
    encoder_layers: int | None,
    prompt_tokens: int,
    longest_prompt: int,
    token_multiple: int = 1,
) -> Blueprint:
    """Gives a checkpoint's networks without reading a weight.

    Args:
        checkpoint: whose configs are read.
        family: architecture.
        classes: names of the diffusers classes of `transformer` and `vae`.
        quantized: see `Blueprint`, as for the next two.
        streams: patterns of layers that see only some tokens.
        unrepeated: pattern of layers that compiled checkpointing does not repeat.
        encoder_layers: how many layers of the text encoder are loaded; None for all.
        prompt_tokens: see `Blueprint`, as for the rest.
        longest_prompt: tokens of the longest prompt.
        token_multiple: sequences are padded to a multiple of it.
    """
    transformer: Any = _without_weights(checkpoint, "transformer", classes["transformer"])
    vae: Any = _without_weights(checkpoint, "vae", classes["vae"])
    attention: Any = next(module for module in transformer.modules() if "processor" in vars(module))
    return Blueprint(
        family=family,
        transformer=transformer,
        text_encoder=empty_encoder(checkpoint, num_layers=encoder_layers),
        vae=vae,
        quantized=quantized,
        encoder_quantized=ENCODER_QUANTIZED,
        dim=int(attention.inner_dim),
        num_heads=int(attention.heads),
        prompt_tokens=prompt_tokens,
        longest_prompt=longest_prompt,
        vae_channels=tuple(vae.config.block_out_channels),
        token_multiple=token_multiple,
        streams=streams,
        unrepeated=unrepeated,
    )


def _without_weights(checkpoint: Checkpoint, component: Component, class_name: str) -> nn.Module:
    network_class = diffusers_class(checkpoint, component, class_name)
    return empty(lambda: network_class.from_config(checkpoint.config(component)))
