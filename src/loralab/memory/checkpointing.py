"""What a block keeps for the backward pass, and what it computes again.

    full        keeps the block's inputs alone
    selective   keeps the attention's results besides: its forward pass is the dearest thing to repeat for its size
    none        keeps everything

Compiled blocks are checkpointed inside the compiled code. There only what the gradients need is repeated: a block's
last product, which outside would be repeated for nothing, is a third of a Klein block's work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils import checkpoint

MODES = ("full", "selective", "none")


def checkpointed(mode: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls the function so that its backward pass repeats what `mode` does not keep."""
    if mode == "none":
        return function(*args, **kwargs)
    context = _keeping_attention if mode == "selective" else _keeping_nothing
    return checkpoint.checkpoint(function, *args, use_reentrant=False, context_fn=context, **kwargs)


def _keeping_attention() -> Any:
    return checkpoint.create_selective_checkpoint_contexts(_attention_alone)


def _keeping_nothing() -> Any:
    """Without a policy the compiler would keep what our products compute, which it takes for dear."""
    return checkpoint.create_selective_checkpoint_contexts(_nothing)


def _attention_alone(context: Any, op: Any, *args: Any, **kwargs: Any) -> Any:
    kept = op in ATTENTION
    return checkpoint.CheckpointPolicy.MUST_SAVE if kept else checkpoint.CheckpointPolicy.PREFER_RECOMPUTE


def _nothing(context: Any, op: Any, *args: Any, **kwargs: Any) -> Any:
    return checkpoint.CheckpointPolicy.PREFER_RECOMPUTE


ATTENTION = (
    torch.ops.aten._scaled_dot_product_cudnn_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
)
"""What scaled_dot_product_attention becomes, by backend."""
