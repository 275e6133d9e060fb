"""What runs the blocks changes where things are and when they are computed, never what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.adapter.twins import KLEIN, METADATA, ZIMAGE, Twin
from tests.memory.held import CPU, adapted, error, gradients, held, plain_gradients
from torch import nn

from loralab.adapter import attached, disabled, export_adapter
from loralab.memory import activations
from loralab.memory.blocks import Blocks, evenly, repeated_blocks

TWINS = pytest.mark.parametrize("twin", [KLEIN, ZIMAGE], ids=lambda twin: twin.name)
SOME, ALL = (1, 3), (0, 1, 2, 3, 4)


def run(network: nn.Module, **arguments: Any) -> nn.Module:
    """Has a network's blocks run by `Blocks`, fully checkpointed unless said otherwise."""
    blocks = repeated_blocks(network)
    chosen = [index for index in arguments.pop("swapped", ()) if index < len(blocks)]
    given = {"checkpointing": "full", "compile": False, **arguments}
    Blocks(blocks, device=CPU, swapped=chosen, **given)
    return network


@pytest.fixture
def everything_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lowers the size from which activations are moved to what a twin has."""
    monkeypatch.setattr(activations, "SMALLEST_BYTES", 1)


@pytest.mark.usefixtures("everything_moves")
@pytest.mark.parametrize("offload_activations", [False, True])
@pytest.mark.parametrize("swapped", [(), SOME, ALL], ids=["none", "some", "all"])
@pytest.mark.parametrize("checkpointing", ["none", "selective", "full"])
@TWINS
def test_gradients_are_the_plain_transformers_bit_for_bit(
    twin: Twin, checkpointing: str, swapped: tuple[int, ...], offload_activations: bool
) -> None:
    network = run(
        held(twin),
        checkpointing=checkpointing,
        swapped=swapped,
        offload_activations=offload_activations,
    )

    found = gradients(twin, adapted(twin, network))

    assert all(torch.equal(one, other) for one, other in zip(found, plain_gradients(twin), strict=True))


@pytest.mark.usefixtures("everything_moves")
@pytest.mark.parametrize("checkpointing", ["none", "full"])
@pytest.mark.parametrize("kind", ["int8", "nf4"])
@TWINS
def test_gradients_over_quantised_blocks_stay_equal_too(twin: Twin, kind: str, checkpointing: str) -> None:
    network = run(held(twin, kind), checkpointing=checkpointing, swapped=SOME, offload_activations=True)

    found = gradients(twin, adapted(twin, network))

    plain = plain_gradients(twin, kind)
    assert all(torch.equal(one, other) for one, other in zip(found, plain, strict=True))
    assert error(found[0], plain_gradients(twin)[0]) > 1e-4


@TWINS
def test_dora_and_the_modulation_train_over_swapped_blocks(twin: Twin) -> None:
    spec = {"targets": "all", "use_dora": True}

    plain = gradients(twin, adapted(twin, held(twin), **spec))
    found = gradients(twin, adapted(twin, run(held(twin), swapped=ALL), **spec))

    assert all(torch.equal(one, other) for one, other in zip(found, plain, strict=True))


@TWINS
def test_an_adapter_trains_over_swapped_blocks_after_the_base_has_drawn_without_it(twin: Twin) -> None:
    network = adapted(twin, run(held(twin), swapped=ALL))

    with disabled(network):
        twin.velocity(network)
    found = gradients(twin, network)

    assert all(torch.equal(one, other) for one, other in zip(found, plain_gradients(twin), strict=True))


@TWINS
def test_validation_between_steps_is_the_plain_transformers(twin: Twin) -> None:
    plain, swapped = (adapted(twin, network) for network in (held(twin), run(held(twin), swapped=SOME)))

    velocities = []
    for network in (plain, swapped):
        before = twin.velocity(network)
        gradients(twin, network)
        velocities.append((before, twin.velocity(network)))

    for one, other in zip(*velocities, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(*velocities[0])


@TWINS
def test_an_adapter_leaves_a_swapped_transformer_and_comes_back_to_it(twin: Twin, tmp_path: Path) -> None:
    trained = adapted(twin, run(held(twin), swapped=ALL))
    gradients(twin, trained)
    path = export_adapter(trained, tmp_path / "a.safetensors", prefix="transformer.", metadata=METADATA)
    base = run(held(twin), swapped=ALL)

    bare = twin.velocity(base)
    with attached(base, path, foreign_names=twin.foreign_names):
        worn = twin.velocity(base)

    torch.testing.assert_close(worn, twin.velocity(trained), atol=1e-6, rtol=1e-6)
    assert torch.equal(twin.velocity(base), bare)
    assert not torch.equal(worn, bare)


@TWINS
def test_at_most_two_swapped_blocks_are_on_the_device_at_once(twin: Twin) -> None:
    network = adapted(twin, run(held(twin), swapped=ALL), targets="all")
    on_device: dict[int, torch.UntypedStorage] = {}
    resident: list[int] = []

    def look(block: int, layer: nn.Linear) -> None:
        on_device[block] = layer.weight.untyped_storage()
        resident.append(sum(storage.size() > 0 for storage in on_device.values()))

    blocks = repeated_blocks(network)
    for number, block in enumerate(blocks):
        first = next(module for module in block.modules() if isinstance(module, nn.Linear))
        first.register_forward_pre_hook(lambda layer, _, number=number: look(number, layer))
    gradients(twin, network)
    after_training = [storage.size() > 0 for storage in on_device.values()]
    twin.velocity(network)

    assert len(on_device) == len(blocks)
    assert len(resident) == (2 * 2 + 1) * len(blocks)  # forwards, recomputed, and once without gradients
    assert max(resident) == 2
    assert sum(after_training) <= 2  # those without a gradient before them, whose turn is next
    assert not any(storage.size() for storage in on_device.values())


def test_full_checkpointing_computes_a_block_twice_and_none_once() -> None:
    counts = {}
    for mode in ("none", "selective", "full"):
        network, calls = adapted(KLEIN, run(held(KLEIN), checkpointing=mode)), []
        network.transformer_blocks[0].attn.to_q.register_forward_pre_hook(
            lambda *_, calls=calls: calls.append(1)
        )
        gradients(KLEIN, network, num_steps=1)
        counts[mode] = len(calls)

    assert counts == {"none": 1, "selective": 2, "full": 2}


def test_a_block_that_learns_nothing_is_not_computed_twice() -> None:
    network = run(held(KLEIN), checkpointing="full")
    calls: list[int] = []
    network.transformer_blocks[0].ff.linear_in.register_forward_pre_hook(lambda *_: calls.append(1))

    adapted(KLEIN, network, targets=r"single_transformer_blocks\.\d+\.attn\.to_out")
    gradients(KLEIN, network, num_steps=1)

    assert len(calls) == 1


def test_blocks_are_listed_in_the_order_of_their_calls() -> None:
    for twin in (KLEIN, ZIMAGE):
        network = held(twin)
        blocks, called = repeated_blocks(network), []
        for block in blocks:
            block.register_forward_pre_hook(lambda module, _, called=called: called.append(module))

        twin.velocity(network)

        assert len(blocks) >= 4
        assert called == blocks


@pytest.mark.parametrize(("count", "among", "chosen"), [(1, 5, {2}), (2, 5, {1, 3}), (5, 5, {0, 1, 2, 3, 4})])
def test_swapped_blocks_lie_evenly(count: int, among: int, chosen: set[int]) -> None:
    assert evenly(count, among=among) == chosen
