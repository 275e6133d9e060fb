"""A frozen layer is to adapters what a dense one is: LoRA, DoRA, several of them, dropout, none."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.adapter.twins import KLEIN, ZIMAGE, Twin, randomise
from tests.memory.held import adapted, error, gradients, held
from torch import Tensor, nn
from torch.nn import functional

from loralab.adapter import LoraSpec, adapter_parameters, disabled, inject, update_norms
from loralab.adapter.layers import tuner_layers
from loralab.adapter.lora import add_lora, named_tensors
from loralab.linears import FORMATS, FrozenLinear, frozen_linear
from loralab.linears.formats import dequantize

SPEC = LoraSpec(rank=4, alpha=8.0, targets="attention_mlp")
KINDS = pytest.mark.parametrize("kind", FORMATS)


@pytest.fixture(params=[KLEIN, ZIMAGE], ids=lambda twin: twin.name)
def twin(request: pytest.FixtureRequest) -> Twin:
    return request.param


def read_back(network: nn.Module) -> nn.Module:
    """Gives the network with dense layers in which the weights are what the frozen ones stand for."""
    dense = copy.deepcopy(network)
    for name, module in list(dense.named_modules()):
        if isinstance(module, FrozenLinear):
            layer = nn.Linear(module.in_features, module.out_features, bias=module.bias is not None)
            layer.weight = nn.Parameter(
                dequantize(module.kind, module.tensors, shape=module.shape, dtype=torch.float32),
                requires_grad=False,
            )
            dense.set_submodule(name, layer)
    return dense


def frozen_layers(network: nn.Module) -> list[FrozenLinear]:
    return [module for module in network.modules() if isinstance(module, FrozenLinear)]


@KINDS
def test_a_layer_says_what_it_is_and_reads_its_weight_back(kind: str) -> None:
    weight, bias = torch.randn(24, 64), nn.Parameter(torch.randn(24))

    layer = frozen_linear(weight, bias=bias, kind=kind, low_bit=False)

    assert (layer.out_features, layer.in_features) == (24, 64)
    assert layer.weight.dtype == torch.bfloat16
    assert error(layer.weight, weight) < 0.15
    assert f"64, 24, {kind}, low_bit=False" in repr(layer)


@KINDS
def test_a_bias_is_added_with_and_without_an_adapter(kind: str) -> None:
    bias = nn.Parameter(torch.randn(24))
    layer = frozen_linear(torch.randn(24, 64), bias=bias, kind=kind, low_bit=False)
    bare = frozen_linear(torch.zeros(24, 64), bias=bias, kind=kind, low_bit=False)
    x, down, up = torch.randn(3, 64), torch.randn(2, 64), torch.randn(24, 2)

    y = layer(x)

    torch.testing.assert_close(bare(x), bias.expand(3, 24))
    torch.testing.assert_close(
        layer.adapted(x, down=down, up=up), y + x @ down.t() @ up.t(), atol=1e-4, rtol=1e-5
    )


@KINDS
def test_under_autocast_a_layer_computes_in_bf16(kind: str) -> None:
    layer, x = frozen_linear(torch.randn(24, 64), bias=None, kind=kind, low_bit=False), torch.randn(3, 64)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)

    assert y.dtype == torch.bfloat16
    assert torch.equal(y, layer(x.bfloat16()))


@KINDS
def test_adapters_attach_in_fp32_and_are_all_that_trains(twin: Twin, kind: str) -> None:
    network = held(twin, kind)
    codes = [tensor.clone() for layer in frozen_layers(network) for tensor in layer.tensors]

    names = inject(network, SPEC, pattern=twin.targets["attention_mlp"])
    randomise(network)
    gradients(twin, network)

    assert len(names) > 5
    assert all(isinstance(layer.get_base_layer(), FrozenLinear) for layer in tuner_layers(network).values())
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert {id(parameter) for parameter in trained} == {id(one) for one in adapter_parameters(network)}
    assert {parameter.dtype for parameter in trained} == {torch.float32}
    kept = [tensor for layer in frozen_layers(network) for tensor in layer.tensors]
    assert all(torch.equal(one, other) for one, other in zip(codes, kept, strict=True))


@KINDS
def test_gradients_over_frozen_layers_are_those_over_the_weights_read_back(twin: Twin, kind: str) -> None:
    network = held(twin, kind)

    dense = gradients(twin, adapted(twin, read_back(network)))
    frozen = gradients(twin, adapted(twin, network))

    assert error(frozen[0], dense[0]) < 1e-4
    assert error(frozen[1], dense[1]) < 1e-4


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_several_adapters_on_a_layer_add_up(kind: str) -> None:
    network = held(KLEIN, kind)
    names = inject(network, SPEC, pattern=KLEIN.targets["attention_mlp"])
    add_lora(network, LoraSpec(rank=2, alpha=1.0, targets="x"), ranks={names[0]: 2}, name="second")
    layer = tuner_layers(network)[names[0]]
    layer.set_adapter(["adapter", "second"])
    parts = [(layer.lora_A[name].weight, layer.lora_B[name].weight) for name in ("adapter", "second")]
    for tensor in [tensor for part in parts for tensor in part]:
        nn.init.normal_(tensor)
    x = torch.randn(5, parts[0][0].shape[1])

    y = layer(x)

    first, second = (functional.linear(functional.linear(x, a), b) for a, b in parts)
    expected = layer.get_base_layer()(x) + 2.0 * first + 0.5 * second
    torch.testing.assert_close(y, expected, atol=1e-4, rtol=1e-5)


@KINDS
def test_dora_learns_lengths_over_frozen_layers(kind: str) -> None:
    network = held(KLEIN, kind)
    before = KLEIN.velocity(network)

    inject(
        network,
        LoraSpec(rank=4, alpha=8.0, targets="attention_mlp", use_dora=True),
        pattern=KLEIN.targets["attention_mlp"],
    )
    start = KLEIN.velocity(network)
    randomise(network)
    KLEIN.answer(network).square().mean().backward()

    assert error(start, before) < 0.005
    assert error(KLEIN.velocity(network), before) > 0.02
    lengths = [tensor for name, tensor in named_tensors(network).items() if "magnitude" in name]
    assert lengths and all(tensor.grad is not None and tensor.grad.any() for tensor in lengths)


def test_dora_over_frozen_layers_is_dora_over_the_weights_read_back() -> None:
    network = held(KLEIN, "int8")

    dense = KLEIN.velocity(adapted(KLEIN, read_back(network), use_dora=True))
    frozen = KLEIN.velocity(adapted(KLEIN, network, use_dora=True))

    assert error(frozen, dense) < 0.002  # lengths are taken of weights rounded to bf16


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_dropout_acts_in_training_only(twin: Twin, kind: str) -> None:
    without = adapted(twin, held(twin, kind))
    dropping = adapted(twin, held(twin, kind), dropout=0.5)

    torch.testing.assert_close(twin.velocity(dropping), twin.velocity(without), atol=1e-5, rtol=1e-5)
    assert error(twin.velocity(dropping.train()), twin.velocity(without)) > 1e-3


@KINDS
def test_disabled_is_the_base_bit_for_bit(twin: Twin, kind: str) -> None:
    base, network = twin.velocity(held(twin, kind)), adapted(twin, held(twin, kind))

    with disabled(network):
        inside = twin.velocity(network)

    assert torch.equal(inside, base)
    assert error(twin.velocity(network), base) > 1e-3


@KINDS
def test_norms_relative_to_the_base_are_those_of_the_weight_read_back(kind: str) -> None:
    network = adapted(KLEIN, held(KLEIN, kind))

    absolute, relative = update_norms(network), update_norms(network, relative=True)

    for name, layer in tuner_layers(network).items():
        weight: Tensor = layer.get_base_layer().weight
        assert relative[name] == pytest.approx(absolute[name] / float(weight.float().norm()), rel=1e-4)


def test_an_adapter_is_added_without_reading_a_weight_back(twin: Twin) -> None:
    network = held(twin, "int8")
    for layer in network.modules():
        if isinstance(layer, FrozenLinear):
            layer.scale = torch.ones(3)  # type: ignore[assignment]  # with which no weight can be read

    names = inject(network, SPEC, pattern=twin.targets["attention_mlp"])

    assert names
    with pytest.raises(RuntimeError):
        _ = network.get_submodule(names[0]).base_layer.weight
