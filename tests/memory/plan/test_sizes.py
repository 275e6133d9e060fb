"""Bytes of weights, adapters and optimizer states are those of the real things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.memory.plan.twins import PARAMETERS, denoiser_of, full_size

from loralab.adapter import LoraSpec, inject
from loralab.adapter.lora import adapter_parameters
from loralab.config import CONF
from loralab.memory import Placement
from loralab.memory.plan.sizes import held, num_parameters
from loralab.memory.plan.trained import STATES, Adapter

CPU = torch.device("cpu")


@pytest.mark.parametrize("model", PARAMETERS)
def test_blueprints_have_as_many_parameters_as_the_published_models(model: str) -> None:
    blueprint, _ = full_size(model)

    assert num_parameters(blueprint.transformer) == PARAMETERS[model]
    assert all(parameter.is_meta for parameter in blueprint.text_encoder.parameters())
    assert blueprint.dim == {"flux2_klein9b": 4096, "flux2_klein4b": 3072, "zimage_base": 3840}[model]
    assert blueprint.num_heads == blueprint.dim // 128


@pytest.mark.parametrize(
    ("model", "kind", "gib"),
    [("flux2_klein9b", "int8", 8.79), ("flux2_klein4b", "fp8", 3.80), ("zimage_base", "int8", 5.87)],
)
def test_eight_bit_weights_weigh_what_was_measured_on_a_card(model: str, kind: str, gib: float) -> None:
    blueprint, _ = full_size(model)

    weights = held(
        blueprint.transformer, quantized=blueprint.quantized, kind=kind, dtype=torch.bfloat16, blocks=()
    )

    assert weights.total / 2**30 == pytest.approx(gib, abs=0.01)


@pytest.mark.parametrize("klein", [True, False])
@pytest.mark.parametrize("kind", [None, "int8", "fp8", "nf4"])
def test_predicted_bytes_are_those_that_loading_allocates(
    kind: str | None, klein: bool, tiny_klein_folder: Path, tiny_zimage_folder: Path
) -> None:
    denoiser: Any = denoiser_of(tiny_klein_folder if klein else tiny_zimage_folder, klein=klein)
    blueprint = denoiser.blueprint()

    denoiser.place(Placement(CPU, torch.bfloat16, kind=kind))
    allocated = {
        component: _bytes(denoiser._components.get(component))
        for component in ("transformer", "text_encoder")
    }
    base = held(
        blueprint.transformer,
        quantized=blueprint.quantized,
        kind=kind,
        dtype=torch.bfloat16,
        blocks=blueprint.blocks(),
    )
    encoder = held(
        blueprint.text_encoder,
        quantized=blueprint.encoder_quantized,
        kind=kind and "int8",
        dtype=torch.bfloat16,
    )

    assert base.total == allocated["transformer"]
    assert encoder.total == allocated["text_encoder"]
    assert len(base.blocks) == len(blueprint.blocks())


def test_two_of_the_waiting_blocks_are_on_the_device(tiny_klein_folder: Path) -> None:
    blueprint = denoiser_of(tiny_klein_folder, klein=True).blueprint()
    weights = held(
        blueprint.transformer,
        quantized=blueprint.quantized,
        kind="int8",
        dtype=torch.bfloat16,
        blocks=blueprint.blocks(),
    )

    whole, none = weights.on_device(1.0), weights.on_device(0.0)

    assert none == weights.total
    assert whole == weights.outside + sum(sorted(weights.blocks)[-2:])
    assert weights.waiting(1.0) == sum(weights.blocks) and weights.waiting(0.0) == 0
    assert weights.on_device(0.2) == weights.total  # a single waiting block has its room


@pytest.mark.parametrize("use_dora", [True, False])
@pytest.mark.parametrize("targets", ["attention", "attention_mlp", "all"])
@pytest.mark.parametrize("klein", [True, False])
def test_adapters_are_as_large_as_those_that_are_injected(
    targets: str, use_dora: bool, klein: bool, tiny_klein_folder: Path, tiny_zimage_folder: Path
) -> None:
    denoiser: Any = denoiser_of(tiny_klein_folder if klein else tiny_zimage_folder, klein=klein)
    pattern = denoiser.target_pattern(targets)
    planned = Adapter(4, pattern, use_dora=use_dora)

    spec = LoraSpec(rank=4, alpha=4, targets=targets, use_dora=use_dora)
    names = inject(denoiser.transformer, spec, pattern=pattern)
    layers = denoiser.blueprint().layers(adapted=pattern)

    assert sorted(names) == sorted(layer.name for layer in layers if layer.adapted)
    assert planned.num_parameters(layers) == sum(
        parameter.numel() for parameter in adapter_parameters(denoiser.transformer)
    )


@pytest.mark.parametrize("name", sorted(file.stem for file in (CONF / "optimizer").glob("*.yaml")))
def test_optimizer_states_weigh_what_a_real_one_holds_after_a_step(
    name: str, tiny_klein_folder: Path
) -> None:
    denoiser: Any = denoiser_of(tiny_klein_folder, klein=True)
    pattern = denoiser.target_pattern("attention")
    spec = LoraSpec(rank=40, alpha=4, targets="attention")
    inject(denoiser.transformer, spec, pattern=pattern)
    parameters = adapter_parameters(denoiser.transformer)
    factory, target, options = _optimizer(name)
    planned = Adapter(40, pattern, optimizer=target, options=options)

    optimizer = factory(parameters)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()

    predicted = planned.optimizer_bytes(denoiser.blueprint().layers(adapted=pattern))
    assert target in STATES
    assert predicted == _state_bytes(optimizer)


def _optimizer(name: str) -> tuple[Any, str, dict[str, Any]]:
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    config = OmegaConf.load(CONF / "optimizer" / f"{name}.yaml")
    config = OmegaConf.merge(config, {"lr": 1e-3})
    options = {str(key): value for key, value in config.items()}
    return instantiate(config), options.pop("_target_").rsplit(".", 1)[-1], options


def _bytes(network: torch.nn.Module) -> int:
    """Bytes of what is loaded: parameters, and the buffers that stand for quantised weights."""
    from loralab.linears import FrozenLinear

    codes = [module.tensors for module in network.modules() if isinstance(module, FrozenLinear)]
    tensors = [*network.parameters(), *(tensor for found in codes for tensor in found)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of an optimizer's tensors, without the tables that all 8-bit states share."""
    return sum(
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for key, value in state.items()
        if isinstance(value, torch.Tensor) and not key.startswith("qmap")
    )
