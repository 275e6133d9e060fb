"""A swapped block's frozen tensors come and go; what is trained in it stays."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from loralab.linears import frozen_linear
from loralab.memory.swap import SwappedBlock

CPU = torch.device("cpu")


class Block(nn.Module):
    """Dense and quantised weights, a bias, a buffer, and one weight that is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(40, 24).requires_grad_(False)
        self.frozen = frozen_linear(torch.randn(8, 24), bias=None, kind="int8", low_bit=False)
        self.trained = nn.Linear(8, 3, bias=False)
        self.register_buffer("shift", torch.randn(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.trained(self.frozen(self.dense(x))) + self.shift


def test_a_block_computes_the_same_before_on_and_off_the_device() -> None:
    block, x = Block(), torch.randn(5, 40)
    before = block(x)

    swapped = SwappedBlock(block, CPU)
    waiting = block(x)
    swapped.load(None)
    swapped.wait()
    there = block(x)

    assert torch.equal(before, waiting)
    assert torch.equal(before, there)


def test_outside_its_turn_a_block_holds_no_memory_on_the_device() -> None:
    block = Block()
    swapped = SwappedBlock(block, CPU)

    swapped.load(None)
    storage = block.dense.weight.untyped_storage()
    shared = {tensor.untyped_storage().data_ptr() for tensor in (block.dense.bias, block.shift)}
    there, place = storage.size(), storage.data_ptr()
    swapped.drop()

    assert shared == {place}
    assert there == swapped.num_bytes >= sum(tensor.nbytes for tensor in (block.dense.weight, block.shift))
    assert storage.size() == 0


def test_what_is_trained_stays_the_same_tensor_through_it_all() -> None:
    block = Block()
    parameter, place = block.trained.weight, block.trained.weight.data_ptr()

    swapped = SwappedBlock(block, CPU)
    swapped.load(None)
    with torch.no_grad():
        parameter.add_(1)
    changed = parameter.clone()
    swapped.drop()

    assert block.trained.weight is parameter
    assert parameter.data_ptr() == place
    assert torch.equal(parameter, changed)


def test_a_graph_built_in_one_turn_reads_the_weights_in_the_next() -> None:
    block, x = Block(), torch.randn(5, 40, requires_grad=True)
    expected = torch.autograd.grad(block(x).square().sum(), x)[0]
    swapped = SwappedBlock(block, CPU)

    swapped.load(None)
    loss = block(x).square().sum()
    swapped.drop()
    swapped.load(None)
    found = torch.autograd.grad(loss, x)[0]

    assert torch.equal(found, expected)


@pytest.mark.gpu
def test_on_a_gpu_a_block_holds_memory_only_in_its_turn() -> None:
    device, block = torch.device("cuda"), nn.Linear(1024, 1024, device="cuda").requires_grad_(False)
    x = torch.randn(5, 1024, device=device)
    expected, before = block(x), torch.cuda.memory_allocated()

    swapped, stream = SwappedBlock(block, device), torch.cuda.Stream()
    waiting = torch.cuda.memory_allocated()
    swapped.load(stream)
    swapped.wait()
    y = block(x)
    swapped.drop()
    torch.cuda.synchronize()

    assert waiting <= before - 2**22
    assert torch.cuda.memory_allocated() <= waiting + y.nbytes + 2**16
    assert torch.equal(y, expected)
    assert block.weight.is_pinned()
