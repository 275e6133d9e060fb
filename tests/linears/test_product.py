"""The products of frozen weights are those of the weights they stand for, with and without an adapter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.memory.held import error
from torch import Tensor
from torch.nn import functional

from loralab.linears import adapted_product, plain_product
from loralab.linears.formats import dequantize, quantize

ROWS, COLUMNS = 96, 128
LIMIT = {"int8": 0.02, "fp8": 0.06}
"""Relative error of a product in the format itself: both operands are rounded, int8 to 1/127 of a row's largest entry,
fp8 to three bits."""


def weight_in(kind: str) -> tuple[Tensor, list[Tensor]]:
    weight = torch.randn(ROWS, COLUMNS)
    return weight, list(quantize(weight, kind).values())


def with_gradient(y: Tensor, x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    return y.detach(), torch.autograd.grad(y, x, gradient.to(y.dtype))[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["int8", "fp8", "nf4"])
def test_the_exact_product_is_that_of_the_weight_read_back(kind: str, dtype: torch.dtype) -> None:
    _, tensors = weight_in(kind)
    x = torch.randn(2, 5, COLUMNS).to(dtype).requires_grad_()
    gradient = torch.randn(2, 5, ROWS)
    read = dequantize(kind, tensors, shape=(ROWS, COLUMNS), dtype=dtype)

    y, dx = with_gradient(
        plain_product(x, tensors, kind=kind, shape=(ROWS, COLUMNS), low_bit=False), x, gradient
    )

    expected_y, expected_dx = with_gradient(functional.linear(x, read), x, gradient)
    assert y.dtype == dx.dtype == dtype
    torch.testing.assert_close(y, expected_y)
    torch.testing.assert_close(dx, expected_dx)


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_the_low_bit_product_is_near_the_product_of_the_original_weight(kind: str) -> None:
    weight, tensors = weight_in(kind)
    x, gradient = torch.randn(64, COLUMNS, requires_grad=True), torch.randn(64, ROWS)

    y, dx = with_gradient(
        plain_product(x, tensors, kind=kind, shape=(ROWS, COLUMNS), low_bit=True), x, gradient
    )

    expected_y, expected_dx = with_gradient(functional.linear(x, weight), x, gradient)
    assert 0 < error(y, expected_y) < LIMIT[kind]
    assert 0 < error(dx, expected_dx) < LIMIT[kind]


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_a_low_bit_product_of_a_gradient_in_very_different_rows_is_as_near_in_each_of_them(kind: str) -> None:
    weight, tensors = weight_in(kind)
    x = torch.randn(16, COLUMNS, requires_grad=True)
    gradient = torch.randn(16, ROWS) * torch.logspace(-8, 2, 16)[:, None]

    y = plain_product(x, tensors, kind=kind, shape=(ROWS, COLUMNS), low_bit=True)
    dx = torch.autograd.grad(y, x, gradient.bfloat16())[0]

    expected = gradient.bfloat16().float() @ weight
    errors = (dx - expected).norm(dim=1) / expected.norm(dim=1)
    assert errors.max() < 2 * LIMIT[kind]


@pytest.mark.parametrize("low_bit", [False, True])
@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_where_nothing_is_differentiated_the_product_is_the_same(kind: str, low_bit: bool) -> None:
    _, tensors = weight_in(kind)
    x = torch.randn(5, COLUMNS, requires_grad=True)

    learning = plain_product(x, tensors, kind=kind, shape=(ROWS, COLUMNS), low_bit=low_bit)
    with torch.no_grad():
        drawing = plain_product(x, tensors, kind=kind, shape=(ROWS, COLUMNS), low_bit=low_bit)

    assert torch.equal(learning, drawing)


@pytest.mark.parametrize("kind", ["dense", "int8", "fp8", "nf4"])
def test_the_adapted_product_is_the_plain_one_plus_the_adapters(kind: str) -> None:
    weight = torch.randn(ROWS, COLUMNS)
    tensors = [weight] if kind == "dense" else list(quantize(weight, kind).values())
    read = dequantize(kind, tensors, shape=(ROWS, COLUMNS), dtype=torch.float32)
    leaves = [torch.randn(shape, requires_grad=True) for shape in ((2, 5, COLUMNS), (4, COLUMNS), (ROWS, 4))]
    x, down, up = leaves
    gradient = torch.randn(2, 5, ROWS)

    y = adapted_product(x, tensors, down=down, up=up, kind=kind, shape=(ROWS, COLUMNS), low_bit=False)
    found = torch.autograd.grad(y, leaves, gradient)

    expected = functional.linear(x, read) + functional.linear(functional.linear(x, down), up)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-4)
    for one, other in zip(found, torch.autograd.grad(expected, leaves, gradient), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_the_adapters_own_terms_are_never_quantised(kind: str) -> None:
    _, tensors = weight_in(kind)
    nothing = list(quantize(torch.zeros(ROWS, COLUMNS), kind).values())
    leaves = [torch.randn(shape, requires_grad=True) for shape in ((8, COLUMNS), (4, COLUMNS), (ROWS, 4))]
    x, down, up = leaves
    gradient = torch.randn(8, ROWS)

    y = adapted_product(x, nothing, down=down, up=up, kind=kind, shape=(ROWS, COLUMNS), low_bit=True)
    found = torch.autograd.grad(y, leaves, gradient.bfloat16())
    beside = adapted_product(x, tensors, down=down, up=up, kind=kind, shape=(ROWS, COLUMNS), low_bit=True)
    same = torch.autograd.grad(beside, leaves, gradient.bfloat16())

    expected = functional.linear(functional.linear(x, down), up)
    exact = torch.autograd.grad(expected, leaves, gradient.bfloat16().float())
    assert error(y, expected) < 2**-8  # one rounding to bf16
    assert all(error(one, other) < 2**-8 for one, other in zip(found, exact, strict=True))
    assert torch.equal(same[1], found[1])
    assert torch.equal(same[2], found[2])


@pytest.mark.parametrize(
    ("kind", "low_bit"),
    [("dense", False), ("nf4", False), ("int8", False), ("int8", True), ("fp8", False), ("fp8", True)],
)
def test_adapters_of_parts_are_those_of_each_part_alone(kind: str, low_bit: bool) -> None:
    weight = torch.randn(ROWS, COLUMNS)
    tensors = [weight] if kind == "dense" else list(quantize(weight, kind).values())
    shapes = ((6, 5, COLUMNS), (3, 4, COLUMNS), (3, ROWS, 4))
    x, down, up = leaves = [torch.randn(shape, requires_grad=True) for shape in shapes]
    gradient = torch.randn(6, 5, ROWS)
    how: dict[str, Any] = {"kind": kind, "shape": (ROWS, COLUMNS), "low_bit": low_bit}

    together = adapted_product(x, tensors, down=down, up=up, **how)
    found = torch.autograd.grad(together, leaves, gradient.to(together.dtype))
    with torch.no_grad():
        drawn = adapted_product(x, tensors, down=down, up=up, **how)

    apart = torch.cat(
        [
            adapted_product(part, tensors, down=down[one], up=up[one], **how)
            for one, part in enumerate(x.chunk(3))
        ]
    )
    torch.testing.assert_close(together, apart)
    assert torch.equal(drawn, together)
    for one, other in zip(found, torch.autograd.grad(apart, leaves, gradient.to(apart.dtype)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_weight_is_never_given_a_gradient() -> None:
    weight = torch.randn(ROWS, COLUMNS, requires_grad=True)
    x = torch.randn(3, COLUMNS, requires_grad=True)

    plain_product(x, [weight], kind="dense", shape=(ROWS, COLUMNS), low_bit=False).sum().backward()

    assert weight.grad is None and x.grad is not None
