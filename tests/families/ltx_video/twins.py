"""A tiny LTX transformer, whole or the video's part of it, with an adapter on its video layers, and its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tests.tiny_ltx import ltx_transformer
from torch import Tensor

from loralab.adapter import LoraSpec, adapter_parameters, inject
from loralab.families.ltx_video.attention import use_processors
from loralab.families.ltx_video.targets import TARGETS, used_pattern
from loralab.families.ltx_video.video_only import without_sound
from loralab.memory.blocks import Blocks, repeated_blocks

TARGETED = "attention_mlp"


def adapted(*, video_only: bool, dtype: torch.dtype = torch.float32) -> Any:
    """Gives the network with an adapter that changes its answers; both kinds draw the same numbers for it."""
    network = use_processors(ltx_transformer().to(dtype))
    network = without_sound(network) if video_only else network
    pattern = used_pattern(TARGETS[TARGETED], TARGETED, has_video=True, has_audio=False)
    torch.manual_seed(1)
    inject(network, LoraSpec(rank=4, alpha=4.0, targets=TARGETED), pattern=pattern)
    with torch.no_grad():
        for parameter in adapter_parameters(network):
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return network


def gradients(
    network: Any, answer: Callable[[Any], Tensor], *, checkpointing: str, compile: bool = False
) -> dict[str, Tensor]:
    """Gives the gradients of the adapter's tensors, by name, with the blocks run so."""
    blocks = repeated_blocks(network)
    Blocks(blocks, device=torch.device("cpu"), checkpointing=checkpointing, compile=compile)
    network.zero_grad()
    answer(network).square().mean().backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in network.named_parameters()
        if parameter.grad is not None
    }
