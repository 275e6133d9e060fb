"""Which implementation of attention a card runs: measured at the start, gradients checked, written to the log.

cuDNN's is the fastest on Hopper (twice the flash implementation that torch takes by itself: 655 against 343 TFLOP/s
forwards, 517 against 313 with the backward pass, 4608 tokens, 32 heads of 128), but it has read past its inputs where
they were views into larger tensors. Here all of its inputs, the gradient too, are whole tensors.
"""

from __future__ import annotations

import functools
import itertools
import logging
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from loralab.errors import UserError

log = logging.getLogger(__name__)
BACKENDS = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
TOLERANCE = 0.02
"""Largest relative error of output and gradients in bf16, against the same in fp32."""


class Processor:
    """What diffusers calls an attention processor, with a backend for attention with and without a mask."""

    backend: str | None = None
    masked_backend: str | None = None


def use_fastest(transformer: nn.Module, name: str, *, device: torch.device) -> None:
    """Sets the backend of all attention whose processors are a family's own.

    Args:
        transformer: with a family's processors in it.
        name: of a backend, or auto, which measures on a GPU and leaves a CPU to torch.
        device: where it will run.
    """
    layers = [
        module for module in transformer.modules() if isinstance(vars(module).get("processor"), Processor)
    ]
    if not layers or (name == "auto" and device.type != "cuda"):
        return
    first: Any = layers[0]
    heads, width = int(first.heads), int(first.inner_dim) // int(first.heads)
    plain, masked = (
        (fastest(device, num_heads=heads, head_dim=width, masked=masked) for masked in (False, True))
        if name == "auto"
        else (name, name)
    )
    for module in layers:
        processor = vars(module)["processor"]
        processor.backend, processor.masked_backend = plain, masked
    log.info("attention: %s, with a mask %s", plain, masked)


@functools.cache
def fastest(device: torch.device, *, num_heads: int, head_dim: int, masked: bool) -> str:
    """Gives the backend that takes the least time forwards and backwards, of those whose gradients are right."""
    right = [
        name for name in BACKENDS if _is_right(name, device, num_heads=2, head_dim=head_dim, masked=masked)
    ]
    if not right:
        raise UserError(
            f"memory.attention=auto: no backend gives right gradients on {device}; use memory=fp32"
        )
    timed = [name for name in right if name != "math"] or right
    return min(
        timed,
        key=lambda name: _milliseconds(name, device, num_heads=num_heads, head_dim=head_dim, masked=masked),
    )


def _operands(device: torch.device, *, tokens: int, num_heads: int, head_dim: int, masked: bool) -> list[Any]:
    source = torch.Generator(device).manual_seed(0)
    shape = (2, tokens, num_heads, head_dim)
    drawn = [torch.randn(shape, generator=source, device=device, dtype=torch.bfloat16) for _ in range(4)]
    mask = torch.ones(2, 1, 1, tokens, dtype=torch.bool, device=device)
    mask[1, ..., tokens // 2 :] = False
    return [*drawn, mask if masked else None]


def _with_gradients(name: str, operands: list[Any], dtype: torch.dtype) -> list[Tensor]:
    query, key, value, gradient = (operand.to(dtype).detach() for operand in operands[:4])
    leaves = [operand.requires_grad_() for operand in (query, key, value)]
    y = attend(*leaves, mask=operands[4], backend=name)
    return [y.detach(), *torch.autograd.grad(y, leaves, gradient)]


def _is_right(name: str, device: torch.device, *, num_heads: int, head_dim: int, masked: bool) -> bool:
    operands = _operands(device, tokens=320, num_heads=num_heads, head_dim=head_dim, masked=masked)
    try:
        found = _with_gradients(name, operands, torch.bfloat16)
    except RuntimeError:  # no such kernel for this card, size or mask
        return False
    exact = _with_gradients("math", operands, torch.float32)
    errors = [float((a.float() - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)]
    return all(error < TOLERANCE for error in errors)


def _milliseconds(name: str, device: torch.device, *, num_heads: int, head_dim: int, masked: bool) -> float:
    operands = _operands(device, tokens=4096, num_heads=num_heads, head_dim=head_dim, masked=masked)
    events = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
    for event in events:
        _with_gradients(name, operands, torch.bfloat16)
        event.record()
    events[-1].synchronize()
    return float(min(before.elapsed_time(after) for before, after in itertools.pairwise(events)))


def attend(
    query: Float[Tensor, " b n h d"],
    key: Float[Tensor, " b m h d"],
    value: Float[Tensor, " b m h d"],
    *,
    mask: Bool[Tensor, " b #h #n m"] | None = None,
    backend: str | None = None,
) -> Float[Tensor, " b n h d"]:
    """Gives softmax(query key^T / sqrt(d)) value; `backend` is a name in BACKENDS, None leaves the choice to torch.

    Of a single key the answer is its value. cuDNN's implementation refuses such a key.
    """
    if mask is None and key.shape[1] == 1:
        return value.expand(-1, query.shape[1], -1, -1)
    q, k, v = (operand.transpose(1, 2) for operand in (query, key, value))
    if backend is None:
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)
    with sdpa_kernel(BACKENDS[backend]):
        y = functional.scaled_dot_product_attention(
            q.contiguous(), k.contiguous(), v.contiguous(), attn_mask=mask
        )
    whole: Tensor = _WholeGradient.apply(y)
    return whole.transpose(1, 2)


class _WholeGradient(torch.autograd.Function):
    """The identity, whose gradient arrives contiguous."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g.contiguous()
