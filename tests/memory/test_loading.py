"""Filling a network tensor by tensor gives what loading it whole gives, and never holds more than it must."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import pytest
import torch
from tests.adapter.twins import KLEIN, ZIMAGE, Twin
from tests.memory.held import CPU, QUANTIZED
from torch import Tensor, nn

from loralab.errors import UserError
from loralab.linears import FrozenLinear
from loralab.memory import peak_memory_gib
from loralab.memory.loading import Holding, empty, fill

DENSE = Holding(CPU, torch.float32)
TWINS = pytest.mark.parametrize("twin", [KLEIN, ZIMAGE], ids=lambda twin: twin.name)


class Two(nn.Module):
    """A layer that is quantised and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 32), nn.Linear(32, 8, bias=False)
        self.register_buffer("table", torch.arange(4.0), persistent=False)


def tensors_of_two() -> dict[str, Tensor]:
    return {
        "first.weight": torch.randn(32, 64),
        "first.bias": torch.randn(32),
        "last.weight": torch.randn(8, 32),
    }


@TWINS
def test_a_filled_transformer_is_the_one_its_tensors_are_of(twin: Twin) -> None:
    whole = twin.base()

    filled = fill(empty(twin.make), whole.state_dict().items(), DENSE)

    assert torch.equal(twin.velocity(filled), twin.velocity(whole))
    assert not filled.training
    assert not any(parameter.requires_grad for parameter in filled.parameters())


@pytest.mark.parametrize("order", [("first.weight", "first.bias"), ("first.bias", "first.weight")])
def test_a_quantised_layer_keeps_its_bias_whichever_comes_first(order: tuple[str, str]) -> None:
    tensors = tensors_of_two()
    ordered = {name: tensors[name] for name in (*order, "last.weight")}
    holding = Holding(CPU, torch.bfloat16, kind="int8", quantized="first")

    network = fill(empty(Two), ordered.items(), holding)

    assert isinstance(network.first, FrozenLinear)
    assert torch.equal(network.first.bias, tensors["first.bias"].bfloat16())
    assert type(network.last) is nn.Linear
    assert torch.equal(network.last.weight, tensors["last.weight"].bfloat16())


def test_what_waits_is_quantised_too_and_has_its_bias() -> None:
    for order in (("first.weight", "first.bias"), ("first.bias", "first.weight")):
        tensors = tensors_of_two()
        ordered = {name: tensors[name] for name in (*order, "last.weight")}
        holding = Holding(CPU, torch.float32, kind="nf4", quantized="first", waiting=lambda name: True)

        network = fill(empty(Two), ordered.items(), holding)

        assert isinstance(network.first, FrozenLinear)
        assert torch.equal(network.first.bias, tensors["first.bias"])


@TWINS
def test_exactly_the_named_linear_layers_are_quantised(twin: Twin) -> None:
    holding = Holding(CPU, torch.float32, kind="int8", quantized=QUANTIZED[twin.name])

    network = fill(empty(twin.make), twin.base().state_dict().items(), holding)

    quantised = {name for name, module in network.named_modules() if isinstance(module, FrozenLinear)}
    linears = {name for name, module in twin.base().named_modules() if isinstance(module, nn.Linear)}
    left = linears - quantised
    assert len(quantised) > len(left) > 3
    assert all("embed" in name or "odulation" in name or "norm_out" in name or "final" in name or name == "proj_out"
               for name in left)  # fmt: skip


def test_of_the_dense_weights_one_at_a_time_is_alive() -> None:
    alive: list[weakref.ref[Tensor]] = []
    most = []

    def yielded() -> Iterator[tuple[str, Tensor]]:
        for name, parameter in KLEIN.base().state_dict().items():
            most.append(sum(one() is not None for one in alive))
            tensor = parameter.clone()
            alive.append(weakref.ref(tensor))
            yield name, tensor
            del tensor

    holding = Holding(CPU, torch.bfloat16, kind="int8", quantized=".*")
    fill(empty(KLEIN.make), yielded(), holding)

    assert len(most) > 20
    assert max(most) == 0


def test_a_tensor_of_another_model_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"Two has no parameter third.weight: the weights are of another model"
    ):
        fill(empty(Two), {"third.weight": torch.zeros(1)}.items(), DENSE)


def test_a_missing_tensor_is_named() -> None:
    tensors = tensors_of_two()
    del tensors["last.weight"]

    with pytest.raises(UserError, match=r"1 parameters of Two are not in the files, for example last.weight"):
        fill(empty(Two), tensors.items(), DENSE)


@pytest.mark.parametrize("kind", [None, "int8"])
def test_a_tensor_of_another_shape_is_refused_with_both(kind: str | None) -> None:
    holding = Holding(CPU, torch.float32, kind=kind, quantized=".*")

    with pytest.raises(
        UserError, match=r"first.weight is \(3, 64\) in the files and \(32, 64\) in this model"
    ):
        fill(empty(Two), {**tensors_of_two(), "first.weight": torch.zeros(3, 64)}.items(), holding)


def test_a_tensor_that_comes_twice_is_refused() -> None:
    twice = [*tensors_of_two().items(), ("first.weight", torch.zeros(32, 64))]

    with pytest.raises(UserError, match=r"no parameter first\.weight"):
        fill(empty(Two), twice, DENSE)


def test_an_empty_network_takes_no_memory_under_deterministic_algorithms_either() -> None:
    torch.use_deterministic_algorithms(True)
    before = peak_memory_gib(torch.device("cpu"))

    try:
        network = empty(lambda: nn.Linear(30_000, 30_000))
    finally:
        torch.use_deterministic_algorithms(False)

    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
    assert peak_memory_gib(torch.device("cpu")) - before < 0.5  # of 3.4
    assert torch.utils.deterministic.fill_uninitialized_memory
