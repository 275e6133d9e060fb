"""How a frozen weight is held: what it becomes, and how it is read back.

    int8   q = round(w / s),  s = max_row |w| / 127        one scale per output feature
    fp8    q = e4m3(w / s),   s = max_row |w| / 448        the same
    nf4    4-bit normal-float codes in blocks of 64, scales quantised once more (Dettmers et al. 2023,
           arXiv:2305.14314, sections 3.1 and 3.2), by bitsandbytes

Scales stand at the output features, so that both products of training can take them out of the sum:

    y  = x W^T:  y_o  = s_o * sum_i x_i q_oi               a factor on each column of the result
    dx = g W:    dx_i = sum_o (g_o s_o) q_oi               a factor on the gradient, before it is quantised
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

INT8_LARGEST = 127.0
FP8_LARGEST = 448.0
NF4_BLOCK = 64
SMALLEST = 1e-30
"""Keeps a row of zeros from dividing by zero; far below any gradient (rows of 1e-10 are usual under a mean loss)."""


def rows_to_int8(x: Float[Tensor, " *m k"]) -> tuple[Tensor, Tensor]:
    """Gives (codes, one fp32 scale per row) of a matrix by its rows' largest entries."""
    scale = _row_scale(x, INT8_LARGEST)
    return (x.float() / scale).round().to(torch.int8), scale.squeeze(-1)


def rows_to_fp8(x: Float[Tensor, " *m k"]) -> tuple[Tensor, Tensor]:
    """Gives (e4m3 codes, one fp32 scale per row) of a matrix by its rows' largest entries."""
    scale = _row_scale(x, FP8_LARGEST)
    return (x.float() / scale).to(torch.float8_e4m3fn), scale.squeeze(-1)


ROWS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {"int8": rows_to_int8, "fp8": rows_to_fp8}
"""Formats whose products can be taken in themselves."""


def quantize(weight: Float[Tensor, " o i"], kind: str) -> dict[str, Tensor]:
    """Gives the tensors that stand for a weight, on its device.

    Args:
        weight: [out, in], in any floating precision.
        kind: int8, fp8 or nf4.
    """
    if kind == "nf4":
        return _to_nf4(weight)
    codes, scale = ROWS[kind](weight)
    return {"codes": codes, "scale": scale}


def dequantize(kind: str, tensors: Sequence[Tensor], *, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Gives the weight [out, in] that the tensors of `quantize` (in its order) stand for; `dense` is itself."""
    if kind == "dense":
        return tensors[0].to(dtype)
    if kind == "nf4":
        return _from_nf4(tensors, shape=shape, dtype=dtype)
    codes, scale = tensors
    return (codes.float() * scale.unsqueeze(1)).to(dtype)


def num_bytes(kind: str, *, num_rows: int, num_columns: int) -> int:
    """Counts the bytes of a weight in a format: what `quantize` would allocate for it."""
    count = num_rows * num_columns
    if kind == "nf4":
        blocks = -(-count // NF4_BLOCK)
        return -(-count // 2) + blocks + 4 * -(-blocks // 256) + 16 * 4 + 256 * 4 + 4
    return count + 4 * num_rows


def _row_scale(x: Tensor, largest: float) -> Tensor:
    return x.float().abs().amax(-1, keepdim=True).clamp_min(SMALLEST) / largest


def _to_nf4(weight: Tensor) -> dict[str, Tensor]:
    import bitsandbytes.functional as functional

    packed, state = functional.quantize_4bit(
        weight.to(torch.bfloat16).contiguous(),
        blocksize=NF4_BLOCK,
        compress_statistics=True,
        quant_type="nf4",
    )
    nested = state.state2
    return {
        "packed": packed,
        "block_codes": state.absmax,
        "levels": state.code,
        "offset": state.offset.reshape(1),
        "nested_scale": nested.absmax,
        "nested_levels": nested.code,
    }


def _from_nf4(tensors: Sequence[Tensor], *, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    import bitsandbytes.functional  # noqa: F401  registers the operators

    packed, block_codes, _, offset, nested_scale, nested_levels = tensors
    scale = torch.ops.bitsandbytes.dequantize_blockwise.default(
        block_codes, nested_scale, nested_levels, 256, torch.float32
    )
    weight: Tensor = torch.ops.bitsandbytes.dequantize_4bit.default(
        packed, scale + offset, NF4_BLOCK, "nf4", list(shape), dtype
    )
    return weight
