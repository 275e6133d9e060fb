"""The products of a frozen weight W [o, i] and a low-rank adapter, forwards and backwards.

    y  = x W^T + h up^T          h = x down^T,  down [r, i],  up [o, r] with the adapter's scale in it
    dx = g W   + dh down         dh = g up
    d up = g^T h                 d down = dh^T x                  W itself is never differentiated

In int8 and fp8 both products run on the codes where the card has tensor cores for them (`low_bit`): x and g are
quantised row by row, with the weight's own scales on g before (loralab.linears.formats). Otherwise the weight is read
back into the precision of x, product by product, which is exact up to that precision's arithmetic. The low-rank terms
are never quantised.

Several adapters may share a product, each for its own of p equal parts of the rows: down [p, r, i], up [p, o, r].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.linears.formats import ROWS, dequantize

try:
    from loralab.linears import kernel
except ImportError:  # torch for the CPU comes without Triton
    kernel = None  # type: ignore[assignment]


def plain_product(
    x: Float[Tensor, " *m i"], tensors: Sequence[Tensor], *, kind: str, shape: Sequence[int], low_bit: bool
) -> Float[Tensor, " *m o"]:
    """Gives x W^T for a weight of `shape` [o, i] that is held as `tensors` of a `kind`."""
    flat = x.reshape(-1, x.shape[-1])
    if torch.is_grad_enabled() and x.requires_grad:
        y: Tensor = _Plain.apply(flat, kind, tuple(shape), low_bit, *tensors)
    else:  # also because torch's compiler mistakes a Function's arguments where nothing is differentiated
        y = _forward(flat, tensors, kind=kind, shape=shape, low_bit=low_bit)
    return y.view(*x.shape[:-1], shape[0])


def adapted_product(
    x: Float[Tensor, " *m i"],
    tensors: Sequence[Tensor],
    *,
    down: Float[Tensor, "*p r i"],
    up: Float[Tensor, "*p o r"],
    kind: str,
    shape: Sequence[int],
    low_bit: bool,
) -> Float[Tensor, " *m o"]:
    """Gives x W^T + (x down^T) up^T; down and up are differentiable and in the precision of the result.

    Args:
        x: its rows are p equal parts where there are p adapters.
        tensors: the weight.
        down: A of one adapter, or of p in the order of their parts.
        up: B likewise, with the adapter's scale in it.
        kind: int8, fp8, nf4 or dense.
        shape: [o, i].
        low_bit: both products of the weight run on its codes.
    """
    flat = x.reshape(-1, x.shape[-1])
    if torch.is_grad_enabled() and (x.requires_grad or down.requires_grad or up.requires_grad):
        y: Tensor = _Adapted.apply(flat, down, up, kind, tuple(shape), low_bit, *tensors)
    else:
        h = (_in_parts(flat.to(down.dtype), down) @ down.mT).flatten(0, -2)
        y = _forward(flat, tensors, kind=kind, shape=shape, low_bit=low_bit, left=h, right=up)
    return y.view(*x.shape[:-1], shape[0])


class _Plain(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kind: str, shape: tuple[int, ...], low_bit: bool, *tensors: Tensor
    ) -> Tensor:
        ctx.save_for_backward(*tensors)
        ctx.kind, ctx.shape, ctx.low_bit, ctx.dtype = kind, shape, low_bit, x.dtype
        return _forward(x, tensors, kind=kind, shape=shape, low_bit=low_bit)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        tensors = ctx.saved_tensors
        dx = _backward(g, tensors, kind=ctx.kind, shape=ctx.shape, low_bit=ctx.low_bit)
        return dx.to(ctx.dtype), None, None, None, *[None] * len(tensors)


class _Adapted(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        down: Tensor,
        up: Tensor,
        kind: str,
        shape: tuple[int, ...],
        low_bit: bool,
        *tensors: Tensor,
    ) -> Tensor:
        narrow = x.to(down.dtype)
        h = (_in_parts(narrow, down) @ down.mT).flatten(0, -2)
        ctx.save_for_backward(narrow, h, down, up, *tensors)
        ctx.kind, ctx.shape, ctx.low_bit, ctx.dtype = kind, shape, low_bit, x.dtype
        return _forward(x, tensors, kind=kind, shape=shape, low_bit=low_bit, left=h, right=up)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, h, down, up, *tensors = ctx.saved_tensors
        g = g.to(down.dtype)
        parts = _in_parts(g, up)
        dh = parts @ up
        dx = _backward(
            g,
            tensors,
            kind=ctx.kind,
            shape=ctx.shape,
            low_bit=ctx.low_bit,
            left=dh.flatten(0, -2),
            right=down.mT,
        )
        d_down, d_up = dh.mT @ _in_parts(x, down), parts.mT @ _in_parts(h, down)
        return dx.to(ctx.dtype), d_down, d_up, None, None, None, *[None] * len(tensors)


def _forward(
    x: Tensor,
    tensors: Sequence[Tensor],
    *,
    kind: str,
    shape: Sequence[int],
    low_bit: bool,
    left: Tensor | None = None,
    right: Tensor | None = None,
) -> Tensor:
    if low_bit:
        codes, scale = tensors
        rows, row_scale = ROWS[kind](x)
        return _matmul(rows, codes, row_scale=row_scale, column_scale=scale, left=left, right=right)
    dtype = x.dtype if left is None else left.dtype
    return _dense(
        x.to(dtype), dequantize(kind, tensors, shape=shape, dtype=dtype).t(), left=left, right=right
    )


def _backward(
    g: Tensor,
    tensors: Sequence[Tensor],
    *,
    kind: str,
    shape: Sequence[int],
    low_bit: bool,
    left: Tensor | None = None,
    right: Tensor | None = None,
) -> Tensor:
    if low_bit:
        codes, scale = tensors
        rows, row_scale = ROWS[kind](g.float() * scale)
        return _matmul(
            rows, _transposed(codes), row_scale=row_scale, column_scale=None, left=left, right=right
        )
    return _dense(g, dequantize(kind, tensors, shape=shape, dtype=g.dtype), left=left, right=right)


def _matmul(
    rows: Tensor,
    codes: Tensor,
    *,
    row_scale: Tensor,
    column_scale: Tensor | None,
    left: Tensor | None,
    right: Tensor | None,
) -> Tensor:
    """The product of codes with its scales, in the kernel where there is one."""
    if rows.is_cuda:
        return kernel.matmul(rows, codes, row_scale, column_scale, left, right)
    y = (rows.float() @ codes.float().t()) * row_scale.unsqueeze(1)
    if column_scale is not None:
        y = y * column_scale
    if left is not None and right is not None:
        y = y + (_in_parts(left.float(), right) @ right.float().mT).view(y.shape)
    return y.to(torch.bfloat16)


def _dense(x: Tensor, weight: Tensor, *, left: Tensor | None, right: Tensor | None) -> Tensor:
    y = x @ weight
    if left is None or right is None:
        return y
    if right.dim() == 2:
        return torch.addmm(y, left, right.t())
    return torch.baddbmm(_in_parts(y, right), _in_parts(left, right), right.mT).view(y.shape)


def _in_parts(rows: Tensor, factor: Tensor) -> Tensor:
    """Gives a matrix as the equal parts that the adapters of `factor` are for; whole where that is one."""
    return rows if factor.dim() == 2 else rows.view(factor.shape[0], -1, rows.shape[-1])


def _transposed(codes: Tensor) -> Tensor:
    return kernel.transpose(codes) if codes.is_cuda else codes.t()
