"""One matrix product on tensor cores with everything that follows it: scales and a low-rank term.

    out[m, n] = row_scale[m] * column_scale[n] * sum_k a[m, k] b[n, k]  +  sum_r left[m, r] right[p, n, r]

p is the part that row m is in: several adapters may share a product, each for an equal run of its rows. `a` and `b` are
int8, fp8 (e4m3) or bf16; the low-rank term is bf16; sums are kept in int32 or fp32. The adapter's
second product thus costs no pass over the output: as a product of its own it takes 0.61 ms beside the 1.0 ms of the
fp8 product for [4608, 4096] x [36864, 4096] on an H100, inside it 0.04 to 0.1 ms.

Needs Triton, which comes with torch on CUDA; import it only there. The functions are `no_type_check`: the tests' checks
must not wrap what Triton and torch read source and signatures of.
"""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.library import triton_op, wrap_triton

RANK_STEP = 64
"""Of the low-rank term, at most; a smaller rank is one step of 16 or 32."""
GROUP = 8
"""Neighbouring tiles share operands in the cache."""


@triton.jit
@no_type_check
def _matmul(
    a, b, out, row_scale, column_scale, left, right, num_rows, num_columns, depth, rank, parts, part_rows,
    by_row: tl.constexpr, by_column: tl.constexpr, integer: tl.constexpr, even: tl.constexpr,
    rows: tl.constexpr, columns: tl.constexpr, step: tl.constexpr,
    padded_rank: tl.constexpr, rank_step: tl.constexpr, group: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)
    # no tile has rows of two parts, so that nothing of one reaches another
    tiles_of_part = tl.cdiv(part_rows, rows)
    width = group * tl.cdiv(num_columns, columns)
    first = tile // width * group
    size = min(parts * tiles_of_part - first, group)
    place = first + tile % width % size
    part = place // tiles_of_part
    m = part * part_rows + place % tiles_of_part * rows + tl.arange(0, rows)
    n = tile % width // size * columns + tl.arange(0, columns)
    k = tl.arange(0, step)
    a_at = a + (m % num_rows).to(tl.int64)[:, None] * depth + k[None, :]
    b_at = b + (n % num_columns).to(tl.int64)[None, :] * depth + k[:, None]
    total = tl.zeros((rows, columns), dtype=tl.int32 if integer else tl.float32)
    for start in range(0, depth, step):
        if even:
            x, y = tl.load(a_at), tl.load(b_at)
        else:
            x = tl.load(a_at, mask=(k < depth - start)[None, :], other=0.0)
            y = tl.load(b_at, mask=(k < depth - start)[:, None], other=0.0)
        if integer:
            total = tl.dot(x, y, total, out_dtype=tl.int32)
        else:
            total = tl.dot(x, y, total)
        a_at += step
        b_at += step
    is_row, is_column = m < (part + 1) * part_rows, n < num_columns
    result = total.to(tl.float32)
    if by_row:
        result *= tl.load(row_scale + m, mask=is_row, other=0.0)[:, None]
    if by_column:
        result *= tl.load(column_scale + n, mask=is_column, other=0.0)[None, :]
    if padded_rank > 0:  # an empty loop would be compiled, for factors that are not there
        for begin in range(0, padded_rank, rank_step):
            r = begin + tl.arange(0, rank_step)
            thin = tl.load(
                left + m[:, None] * rank + r[None, :], mask=is_row[:, None] & (r < rank)[None, :], other=0.0
            )
            wide = tl.load(
                right + (part * num_columns + n)[None, :] * rank + r[:, None],
                mask=is_column[None, :] & (r < rank)[:, None],
                other=0.0,
            )
            result = tl.dot(thin, wide, result)
    at = out + m.to(tl.int64)[:, None] * num_columns + n[None, :]
    tl.store(at, result.to(tl.bfloat16), mask=is_row[:, None] & is_column[None, :])


@triton.jit
@no_type_check
def _transpose(source, target, num_rows, num_columns, side: tl.constexpr):
    m = tl.program_id(0) * side + tl.arange(0, side)
    n = tl.program_id(1) * side + tl.arange(0, side)
    mask = (m < num_rows)[:, None] & (n < num_columns)[None, :]
    values = tl.load(source + m.to(tl.int64)[:, None] * num_columns + n[None, :], mask=mask)
    at = target + n.to(tl.int64)[:, None] * num_rows + m[None, :]
    tl.store(at, tl.trans(values), mask=(n < num_columns)[:, None] & (m < num_rows)[None, :])


def tile(element: torch.dtype, *, major: int) -> dict[str, int]:
    """Gives tile sizes for a kind of element and a generation of GPUs.

    Those of Hopper (major 9) were the fastest of five on an H100, at the shapes of Klein 9B and Z-Image. Older
    generations have less than half the shared memory; theirs were not measured.
    """
    step = 128 // element.itemsize
    if major != 9:
        return {"rows": 128, "columns": 128, "step": step // 2, "num_warps": 8, "num_stages": 3}
    if element == torch.int8:
        return {"rows": 128, "columns": 128, "step": step, "num_warps": 4, "num_stages": 3}
    return {"rows": 128, "columns": 256, "step": step, "num_warps": 8, "num_stages": 3}


@triton_op("loralab::matmul", mutates_args={})
@no_type_check
def matmul(
    a: Tensor,
    b: Tensor,
    row_scale: Tensor | None,
    column_scale: Tensor | None,
    left: Tensor | None,
    right: Tensor | None,
) -> Tensor:
    """Gives [m, n] in bf16 from a [m, k], b [n, k], left [m, r], all of contiguous rows, and any right.

    right is [n, r], or [p, n, r] where p equal parts of the rows have their own. Each scale may be left out; left and
    right belong together. bf16 has no scales.
    """
    num_rows, depth = a.shape
    num_columns = b.shape[0]
    out = torch.empty(num_rows, num_columns, device=a.device, dtype=torch.bfloat16)
    sizes = tile(a.dtype, major=torch.cuda.get_device_capability(a.device)[0])
    rank = 0 if left is None else left.shape[1]
    rank_step = min(RANK_STEP, max(16, triton.next_power_of_2(rank)))
    parts = 1 if right is None or right.dim() == 2 else right.shape[0]
    part_rows = num_rows // parts
    right = None if right is None else right.contiguous()  # in a backward pass it is a transpose
    grid = (parts * triton.cdiv(part_rows, sizes["rows"]) * triton.cdiv(num_columns, sizes["columns"]),)
    wrap_triton(_matmul)[grid](
        a, b, out,
        a if row_scale is None else row_scale,
        a if column_scale is None else column_scale,
        a if left is None else left,
        a if right is None else right,
        num_rows, num_columns, depth, rank, parts, part_rows,
        by_row=row_scale is not None, by_column=column_scale is not None, integer=a.dtype == torch.int8,
        even=depth % sizes["step"] == 0,
        padded_rank=triton.cdiv(rank, rank_step) * rank_step, rank_step=rank_step, group=GROUP, **sizes,
    )  # fmt: skip
    return out


@triton_op("loralab::transpose", mutates_args={})
@no_type_check
def transpose(codes: Tensor) -> Tensor:
    """Gives the transpose of a matrix of one-byte codes, contiguous; three to ten times as fast as torch does it."""
    num_rows, num_columns = codes.shape
    out = torch.empty(num_columns, num_rows, device=codes.device, dtype=codes.dtype)
    grid = (triton.cdiv(num_rows, 128), triton.cdiv(num_columns, 128))
    wrap_triton(_transpose)[grid](
        codes.view(torch.uint8), out.view(torch.uint8), num_rows, num_columns, side=128, num_warps=8
    )
    return out
