import pytest
import torch

from loralab.linears import adapted_product, frozen_linear
from loralab.packed.layer import PackedLinear
from loralab.packed.routing import Routing

SCALES = (0.3, 1.7)


def packed_of(linear: torch.nn.Linear, *, dtype: torch.dtype) -> PackedLinear:
    """Gives a layer of two trials that both adapt it, about to see four pictures."""
    routing = Routing(width=2, device=torch.device("cpu"), exact=True)
    packed = PackedLinear(linear, width=2, rank=4, dtype=dtype, routing=routing)
    for tensor in (packed.down.data, packed.up.data):
        tensor.normal_()
    packed.scale[:] = torch.tensor(SCALES).view(2, 1, 1)
    routing.begin([0, 1], is_whole=True, num_samples=4, training=True)
    return packed


def test_in_bf16_an_adapter_is_added_as_it_is_alone() -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(48, 64, bias=False).bfloat16().requires_grad_(False)
    packed = packed_of(linear, dtype=torch.bfloat16)
    x = torch.randn(4, 5, 48, dtype=torch.bfloat16)

    together = packed(x)

    for slot, (part, found) in enumerate(zip(x.chunk(2), together.chunk(2), strict=True)):
        up = packed.up[slot] * SCALES[slot]  # a number, as PEFT's factor is
        alone = adapted_product(
            part, [linear.weight], down=packed.down[slot], up=up, kind="dense", shape=(64, 48), low_bit=False
        )
        assert torch.equal(found, alone)


@pytest.mark.parametrize("low_bit", [False, True])
def test_on_a_low_bit_base_an_adapter_and_its_gradients_are_those_alone(low_bit: bool) -> None:
    torch.manual_seed(0)
    bias = torch.nn.Parameter(torch.randn(64), requires_grad=False)
    linear = frozen_linear(torch.randn(64, 48), bias=bias, kind="int8", low_bit=low_bit)
    packed = packed_of(linear, dtype=torch.float32)
    x = torch.randn(4, 5, 48, requires_grad=True)

    together = packed(x)
    leaves = (x, packed.down, packed.up)
    found = torch.autograd.grad(together.float().square().sum(), leaves)

    parts = enumerate(x.chunk(2))
    apart = [
        linear.adapted(one, down=packed.down[slot], up=packed.up[slot] * SCALES[slot]) for slot, one in parts
    ]
    alone = torch.autograd.grad(torch.cat(apart).float().square().sum(), leaves)
    torch.testing.assert_close(together, torch.cat(apart))
    for one, other in zip(found, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-2)
