from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.adapter.twins import ZIMAGE
from tests.memory.held import CPU, held
from torch import Tensor, nn

from loralab.adapter import LoraSpec, adapter_parameters
from loralab.adapter.layers import adapter_layers, linear_layers
from loralab.adapter.lora import add_lora, named_tensors
from loralab.adapter.roles import ASSISTANT, FAKE, STUDENT, Roles
from loralab.memory.blocks import Blocks, repeated_blocks

SPEC = LoraSpec(rank=4, alpha=2.0, targets="attention_mlp")
WAYS = pytest.mark.parametrize("kind", [None, "int8"], ids=["dense", "int8"])
KEPT = pytest.mark.parametrize("checkpointing", ["none", "selective", "full"])


def company(kind: str | None = None, *, checkpointing: str = "none", swapped: tuple[int, ...] = ()) -> Any:
    """Gives a network whose student, assistant and fake are all random, and what switches them."""
    network = held(ZIMAGE, kind)
    blocks = repeated_blocks(network)
    Blocks(blocks, device=CPU, checkpointing=checkpointing, compile=False, swapped=swapped)
    names = [name for name in linear_layers(network) if ".attention.to_" in name or ".feed_forward." in name]
    for seed, name in enumerate((STUDENT, ASSISTANT, FAKE)):
        add_lora(network, SPEC, ranks=dict.fromkeys(names, 4), name=name)
        source = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for tensor in named_tensors(network, name=name).values():
                tensor.normal_(0, 0.3, generator=source)
    roles = Roles(network)
    roles.train_only(STUDENT, FAKE)
    roles.activate(STUDENT)
    return network, roles


def student_gradient(network: nn.Module, between: Any) -> Tensor | None:
    """Gives the student's gradient when something happens between its forward and its backward pass."""
    for parameter in network.parameters():
        parameter.grad = None
    loss = ZIMAGE.answer(network).square().mean()
    between()
    loss.backward()
    found = [parameter.grad for parameter in adapter_parameters(network)]
    return None if any(one is None for one in found) else torch.cat([one.flatten() for one in found])  # type: ignore[union-attr]


@KEPT
@WAYS
@pytest.mark.parametrize("swapped", [(), (0, 2)], ids=["resident", "swapped"])
def test_scores_between_forward_and_backward_leave_the_students_gradient_as_it_is_bit_for_bit(
    kind: str | None, checkpointing: str, swapped: tuple[int, ...]
) -> None:
    network, roles = company(kind, checkpointing=checkpointing, swapped=swapped)

    def scores() -> None:
        for name in (STUDENT, FAKE):
            with roles.active(ASSISTANT, name):
                ZIMAGE.velocity(network)

    alone = student_gradient(network, lambda: None)

    assert alone is not None
    assert alone.abs().max() > 0
    assert torch.equal(alone, student_gradient(network, scores))


def test_pefts_own_switch_loses_the_students_gradient_without_a_word() -> None:
    network, _ = company()
    alone = student_gradient(network, lambda: None)

    def scores() -> None:
        network.set_adapters([ASSISTANT, FAKE])
        ZIMAGE.velocity(network)

    assert alone is not None
    assert student_gradient(network, scores) is None


def test_a_checkpointed_block_that_is_repeated_by_another_adapter_gives_a_wrong_gradient() -> None:
    network, roles = company(checkpointing="full")
    alone = student_gradient(network, lambda: None)

    wrong = student_gradient(network, lambda: roles.activate(FAKE))

    assert alone is not None
    assert wrong is None or not torch.allclose(alone, wrong, rtol=0.1)


def test_after_the_block_those_answer_that_did_before_and_each_is_as_trainable_as_before() -> None:
    network, roles = company()
    before = [parameter.requires_grad for parameter in network.parameters()]

    with roles.active(ASSISTANT, FAKE):
        inside = {tuple(layer.active_adapters) for layer in adapter_layers(network).values()}
        network.set_adapters([ASSISTANT])  # what others may do inside, such as a watch that draws

    assert inside == {(ASSISTANT, FAKE)}
    assert {tuple(layer.active_adapters) for layer in adapter_layers(network).values()} == {(STUDENT,)}
    assert [parameter.requires_grad for parameter in network.parameters()] == before


@WAYS
def test_adapters_that_are_active_together_add_up(kind: str | None) -> None:
    network, roles = company(kind)
    layer = next(iter(adapter_layers(network).values()))
    x = torch.randn(3, layer.in_features)

    def answered(*names: str) -> Tensor:
        with roles.active(*names), torch.no_grad():
            return layer(x)

    bare = answered()
    both = answered(ASSISTANT, STUDENT) - bare

    assert torch.allclose(both, answered(ASSISTANT) + answered(STUDENT) - 2 * bare, atol=1e-5)
    assert (both - (answered(STUDENT) - bare)).abs().max() > 1e-2
    assert torch.equal(bare, layer.base_layer(x))


def test_only_the_adapters_that_act_get_gradients() -> None:
    network, roles = company()

    with roles.active(ASSISTANT, FAKE):
        ZIMAGE.answer(network).square().mean().backward()

    has = {
        name: {p.grad is not None for p in adapter_parameters(network, name=name)}
        for name in (STUDENT, ASSISTANT, FAKE)
    }
    assert has == {STUDENT: {False}, ASSISTANT: {False}, FAKE: {True}}


def test_a_name_that_no_adapter_has_is_refused() -> None:
    _, roles = company()

    with pytest.raises(ValueError, match="no adapter is called nobody"), roles.active("nobody"):
        pass


@pytest.mark.slow
def test_compiled_blocks_give_the_same_with_several_adapters() -> None:
    network, roles = company("int8")
    plain = {names: _answered(network, roles, names) for names in ((STUDENT,), (ASSISTANT, FAKE), ())}
    Blocks(repeated_blocks(network), device=CPU, checkpointing="none", compile=True)

    compiled = {names: _answered(network, roles, names) for names in plain}

    for names, answer in plain.items():
        assert torch.allclose(answer, compiled[names], atol=1e-4)


def _answered(network: nn.Module, roles: Roles, names: tuple[str, ...]) -> Tensor:
    with roles.active(*names):
        return ZIMAGE.velocity(network)
