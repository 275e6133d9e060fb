"""The one matrix product on tensor cores, against fp32: every element type, ragged sizes, ranks, odd depths."""

from __future__ import annotations

import pytest
import torch
from tests.memory.held import error
from torch import Tensor

from loralab.linears import adapted_product, plain_product
from loralab.linears.formats import ROWS, quantize

pytestmark = pytest.mark.gpu
SIZES = [(128, 256, 128), (1, 40, 64), (300, 257, 1000), (129, 130, 77), (1000, 384, 4096)]
"""Rows, columns and depth: whole tiles, a single row, and such as leave rests in each direction."""


def drawn(*shape: int) -> Tensor:
    source = torch.Generator("cuda").manual_seed(sum(shape))
    return torch.randn(shape, device="cuda", generator=source)


def matmul(*arguments: Tensor | None) -> Tensor:
    from loralab.linears import kernel

    return kernel.matmul(*arguments)


@pytest.mark.parametrize("rank", [0, 4, 16, 64, 100])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_a_product_of_codes_is_that_of_what_they_stand_for(
    kind: str, size: tuple[int, int, int], rank: int
) -> None:
    rows, columns, depth = size
    (a, row_scale), (b, column_scale) = ROWS[kind](drawn(rows, depth)), ROWS[kind](drawn(columns, depth))
    left, right = (drawn(count, rank).bfloat16() if rank else None for count in (rows, columns))

    y = matmul(a, b, row_scale, column_scale, left, right)

    expected = (a.double() * row_scale[:, None]) @ (b.double() * column_scale[:, None]).t()
    if left is not None and right is not None:
        expected = expected + left.double() @ right.double().t()
    assert y.shape == (rows, columns) and y.dtype == torch.bfloat16
    assert error(y, expected) < 0.004  # one rounding to bf16, and fp8's sums in fewer than 23 bits on Hopper


@pytest.mark.parametrize("rank", [0, 4, 100])
@pytest.mark.parametrize("size", SIZES)
def test_a_product_in_bf16_takes_no_scales(size: tuple[int, int, int], rank: int) -> None:
    rows, columns, depth = size
    a, b = drawn(rows, depth).bfloat16(), drawn(columns, depth).bfloat16()
    left, right = (drawn(count, rank).bfloat16() if rank else None for count in (rows, columns))

    y = matmul(a, b, None, None, left, right)

    expected = a.double() @ b.double().t()
    if left is not None and right is not None:
        expected = expected + left.double() @ right.double().t()
    assert error(y, expected) < 0.004


def test_the_right_factor_may_be_a_transpose() -> None:
    (a, row_scale), (b, column_scale) = ROWS["int8"](drawn(64, 96)), ROWS["int8"](drawn(80, 96))
    left, right = drawn(64, 20).bfloat16(), drawn(20, 80).bfloat16()

    y = matmul(a, b, row_scale, column_scale, left, right.t())

    assert torch.equal(y, matmul(a, b, row_scale, column_scale, left, right.t().contiguous()))


@pytest.mark.parametrize("rank", [4, 16, 40])
@pytest.mark.parametrize(("part_rows", "num_parts"), [(128, 3), (1, 200), (100, 5), (300, 2)])
def test_parts_of_the_rows_may_have_right_factors_of_their_own(
    part_rows: int, num_parts: int, rank: int
) -> None:
    (a, row_scale), (b, column_scale) = (
        ROWS["int8"](drawn(part_rows * num_parts, 96)),
        ROWS["int8"](drawn(257, 96)),
    )
    left, right = drawn(part_rows * num_parts, rank).bfloat16(), drawn(num_parts, 257, rank).bfloat16()

    y = matmul(a, b, row_scale, column_scale, left, right)

    parts = [tensor.split(part_rows) for tensor in (a, row_scale, left)]
    apart = [
        matmul(a_part, b, scale, column_scale, left_part, right_part)
        for a_part, scale, left_part, right_part in zip(*parts, right, strict=True)
    ]
    assert torch.equal(y, torch.cat(apart))


@pytest.mark.parametrize("part_rows", [128, 100])
def test_what_is_not_finite_in_one_part_stays_in_it(part_rows: int) -> None:
    (a, row_scale), (b, column_scale) = ROWS["int8"](drawn(3 * part_rows, 96)), ROWS["int8"](drawn(257, 96))
    left, right = drawn(3 * part_rows, 8).bfloat16(), drawn(3, 257, 8).bfloat16()
    sound = matmul(a, b, row_scale, column_scale, left, right)
    right[1, 5, 2] = float("nan")
    right[1, 7, 3] = float("inf")

    y = matmul(a, b, row_scale, column_scale, left, right)

    inside = slice(part_rows, 2 * part_rows)
    assert not y[inside, [5, 7]].isfinite().any()
    y[inside, [5, 7]] = sound[inside, [5, 7]]
    assert torch.equal(y, sound)


def test_int8_sums_are_whole_numbers_beyond_what_fp32_could_count() -> None:
    a = torch.full((16, 65536), 127, dtype=torch.int8, device="cuda")
    ones = torch.ones(16, device="cuda")

    y = matmul(a, a, ones, ones, None, None)

    assert torch.equal(y, torch.full_like(y, 127 * 127 * 65536))


@pytest.mark.parametrize("kind", ["int8", "fp8"])
@pytest.mark.parametrize("shape", [(1, 1), (128, 128), (77, 300), (1000, 129)])
def test_a_transpose_is_torchs(kind: str, shape: tuple[int, int]) -> None:
    from loralab.linears import kernel

    codes, _ = ROWS[kind](drawn(*shape))

    turned = kernel.transpose(codes)

    assert turned.is_contiguous()
    assert torch.equal(turned.view(torch.uint8), codes.view(torch.uint8).t())


@pytest.mark.parametrize(("kind", "limit"), [("int8", 0.02), ("fp8", 0.06)])
def test_on_the_gpu_low_bit_products_and_gradients_are_those_of_the_cpu(kind: str, limit: float) -> None:
    weight, x, gradient = drawn(200, 328), drawn(70, 328).bfloat16(), drawn(70, 200).bfloat16()
    down, up = drawn(12, 328).bfloat16(), drawn(200, 12).bfloat16()
    found = {}

    for device in ("cuda", "cpu"):
        tensors = [tensor.to(device) for tensor in quantize(weight, kind).values()]
        leaves = [leaf.detach().to(device).requires_grad_() for leaf in (x, down, up)]
        y = adapted_product(
            leaves[0], tensors, down=leaves[1], up=leaves[2], kind=kind, shape=(200, 328), low_bit=True
        )
        plain = plain_product(leaves[0], tensors, kind=kind, shape=(200, 328), low_bit=True)
        found[device] = [plain, y, *torch.autograd.grad(y, leaves, gradient.to(device))]

    assert all(error(one.cpu(), other) < 0.01 for one, other in zip(found["cuda"], found["cpu"], strict=True))
    assert error(found["cuda"][0], x.float() @ weight.t()) < limit
