"""Every way to hold and run the base, on a CUDA device: it trains, and the gradients are near the exact ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.adapter.twins import KLEIN, ZIMAGE, Twin
from tests.memory.held import PROCESSORS, QUANTIZED, error
from torch import Tensor, nn

from loralab.adapter import LoraSpec, adapter_parameters, inject
from loralab.memory import MemoryPolicy, Placement
from loralab.memory.loading import empty

pytestmark = pytest.mark.gpu
TWINS = pytest.mark.parametrize("twin", [KLEIN, ZIMAGE], ids=lambda twin: twin.name)
LIMIT = {"fp32": 1e-3, "bf16": 0.04, "int8": 0.04, "fp8": 0.1, "nf4": 0.30}
"""Relative error of all gradients of a twin against fp32 on the CPU: bf16 alone makes 2 %, int8 hardly more (its layers
are 32 wide, so that rounding averages over little)."""


def placed(twin: Twin, placement: Placement) -> nn.Module:
    """Gives a twin, held and run as placed, with a random adapter."""
    network = placement.filled(
        lambda: empty(twin.make), twin.base().state_dict().items(), quantized=QUANTIZED[twin.name]
    )
    placement.apply(PROCESSORS[twin.name](network))
    inject(
        network, LoraSpec(rank=4, alpha=8.0, targets="attention_mlp"), pattern=twin.targets["attention_mlp"]
    )
    adapter = twin.trained(alpha=8.0)
    for ours, theirs in zip(adapter_parameters(network), adapter_parameters(adapter), strict=True):
        ours.data.copy_(theirs.data)
    return network


def gradients(twin: Twin, network: nn.Module, placement: Placement) -> Tensor:
    """Gives all gradients of the second of two steps without an update, on the CPU."""
    for _ in range(2):
        network.zero_grad()
        half = placement.dtype != torch.float32
        with torch.autocast(placement.device.type, torch.bfloat16, enabled=half):
            answer = _answer(twin, network, placement.device)
        answer.float().square().mean().backward()
    return torch.cat([parameter.grad.flatten().cpu() for parameter in adapter_parameters(network)])  # type: ignore[union-attr]


def _answer(twin: Twin, network: Any, device: torch.device) -> Tensor:
    """What a twin's network says to random input on a device."""
    source = torch.Generator("cpu").manual_seed(5)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source, device="cpu").to(device)

    sigma = torch.tensor([0.3, 0.8], device=device)
    if twin is ZIMAGE:
        noisy, captions = [drawn(16, 1, 8, 8) for _ in sigma], [drawn(40, 16), drawn(7, 16)]
        return torch.stack(network(noisy, sigma, captions, return_dict=False)[0])
    ids = torch.zeros(16, 4, device=device)
    ids[:, 1], ids[:, 2] = torch.arange(16, device=device) // 4, torch.arange(16, device=device) % 4
    return network(
        hidden_states=drawn(2, 16, 16), encoder_hidden_states=drawn(2, 5, 48), timestep=sigma, guidance=None,
        img_ids=ids, txt_ids=torch.zeros(5, 4, device=device), return_dict=False,
    )[0]  # fmt: skip


def exact(twin: Twin) -> Tensor:
    placement = Placement(torch.device("cpu"), torch.float32)
    return gradients(twin, placed(twin, placement), placement)


@pytest.mark.parametrize("precision", sorted(LIMIT))
@TWINS
def test_under_every_policy_the_gradients_are_near_the_exact_ones(twin: Twin, precision: str) -> None:
    placement = MemoryPolicy(precision=precision, compile=False).on(torch.device("cuda"))

    found = gradients(twin, placed(twin, placement), placement)

    assert error(found, exact(twin)) < LIMIT[precision]


@pytest.mark.parametrize("kind", [None, "int8", "nf4"])
@pytest.mark.parametrize("checkpointing", ["none", "selective", "full"])
@TWINS
def test_swapping_and_offloading_change_no_gradient(twin: Twin, checkpointing: str, kind: str | None) -> None:
    here = Placement(
        torch.device("cuda"), torch.bfloat16, kind=kind, checkpointing=checkpointing, attention="math"
    )
    away = here.without(offload_blocks=1.0, offload_activations=checkpointing != "none")

    found = gradients(twin, placed(twin, away), away)

    assert torch.equal(found, gradients(twin, placed(twin, here), here))


def test_swapped_blocks_need_less_memory_on_the_device() -> None:
    used = {}
    for share in (0.0, 1.0):
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        placement = Placement(torch.device("cuda"), torch.bfloat16, offload_blocks=share)
        network = placed(KLEIN, placement)
        used[share] = torch.cuda.memory_allocated() - before
        del network

    assert used[1.0] < 0.6 * used[0.0]
