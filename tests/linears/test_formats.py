"""A weight in fewer bits is read back as near as its format allows, and takes as many bytes as was counted."""

from __future__ import annotations

import pytest
import torch

from loralab.linears.formats import dequantize, num_bytes, quantize

SHAPES = [(24, 64), (40, 96), (3, 100), (256, 320)]


def read_back(weight: torch.Tensor, kind: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return dequantize(kind, list(quantize(weight, kind).values()), shape=weight.shape, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_int8_is_within_half_a_step_of_each_rows_scale(dtype: torch.dtype) -> None:
    weight = (torch.randn(40, 96) * torch.logspace(-6, 3, 40)[:, None]).to(dtype)

    read = read_back(weight, "int8")

    step = weight.float().abs().amax(1, keepdim=True) / 127
    assert ((read - weight.float()).abs() <= 0.5001 * step).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fp8_is_within_its_relative_step_of_each_entry(dtype: torch.dtype) -> None:
    weight = (torch.randn(40, 96) * torch.logspace(-6, 3, 40)[:, None]).to(dtype)

    codes = quantize(weight, "fp8")["codes"]
    read = read_back(weight, "fp8")

    scale = weight.float().abs().amax(1, keepdim=True) / 448
    bound = torch.maximum(2**-4 * weight.float().abs(), 2**-10 * scale)  # three bits, then subnormal numbers
    assert ((read - weight.float()).abs() <= 1.0001 * bound).all()
    assert (codes.float().abs().amax(1) == 448).all()  # the whole range is used


@pytest.mark.parametrize("kind", ["int8", "fp8", "nf4"])
def test_a_row_of_zeros_and_the_largest_entries_stay_what_they_are(kind: str) -> None:
    weight = torch.full((2, 64), 0.5)
    weight[0] = 0

    torch.testing.assert_close(read_back(weight, kind), weight, atol=0, rtol=1e-3)


def test_nf4_is_what_bitsandbytes_own_layer_reads_back() -> None:
    import bitsandbytes

    weight = torch.randn(96, 128, dtype=torch.bfloat16)
    theirs = bitsandbytes.nn.Linear4bit(
        128, 96, bias=False, quant_type="nf4", compress_statistics=True, quant_storage=torch.uint8
    )
    theirs.weight = bitsandbytes.nn.Params4bit(
        weight.clone(), requires_grad=False, quant_type="nf4", blocksize=64, compress_statistics=True
    )
    theirs = theirs.to("cpu")

    read = read_back(weight, "nf4", torch.bfloat16)

    expected = bitsandbytes.functional.dequantize_4bit(theirs.weight.data, theirs.weight.quant_state)
    assert torch.equal(read, expected)
    assert not torch.equal(read, weight)


@pytest.mark.parametrize("kind", ["int8", "fp8", "nf4"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_bytes_are_those_that_were_counted(kind: str, shape: tuple[int, int]) -> None:
    tensors = quantize(torch.randn(shape), kind)

    assert sum(tensor.nbytes for tensor in tensors.values()) == num_bytes(
        kind, num_rows=shape[0], num_columns=shape[1]
    )


def test_a_dense_weight_is_itself() -> None:
    weight = torch.randn(3, 5)

    assert torch.equal(dequantize("dense", [weight], shape=(3, 5), dtype=torch.float32), weight)
