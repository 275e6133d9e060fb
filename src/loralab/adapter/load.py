"""Adapter files, ours and other tools', attached to a transformer: every tensor must find its layer.

A fused foreign layer (one matrix for q, k and v) becomes several of ours: each takes its rows of B and the
whole of A, which is exact.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from loralab.adapter.formats import Factors, take_apart
from loralab.adapter.layers import linear_layers, switches_restored, tuner_layers
from loralab.adapter.lora import LoraSpec, adapter_parameters, add_lora
from loralab.adapter.metadata import AdapterMetadata, metadata_of
from loralab.adapter.names import LayerNames, Names
from loralab.adapter.reading import declared_scales, read_adapter_file
from loralab.adapter.state import load_adapter_state
from loralab.errors import UserError

LOADED = "loaded"
"""Name, inside the transformer, of an adapter that came from a file."""


@dataclass(frozen=True)
class AttachedAdapter:
    """What a file turned out to hold.

    Attributes:
        num_modules: layers of ours that it adapts.
        rank: the largest rank among them.
        metadata: what loralab wrote into it, or None for a file of another tool.
    """

    num_modules: int
    rank: int
    metadata: AdapterMetadata | None


def attach(
    transformer: nn.Module, path: str | Path, *, foreign_names: LayerNames, name: str = LOADED
) -> AttachedAdapter:
    """Reads an adapter file and makes it the one active adapter, frozen and in fp32.

    Args:
        transformer: a diffusers transformer; its other adapters stay and are switched off.
        path: a .safetensors file of loralab, diffusers, PEFT, ComfyUI or kohya style.
        foreign_names: the family's table of other tools' layer names.
        name: what to call the adapter inside the transformer.

    Raises:
        UserError: if the file is unreadable, adapts nothing, belongs to another base, or holds anything that has
        no place in this transformer.
    """
    header, tensors = read_adapter_file(path)
    metadata = metadata_of(path, header)
    foreign_names.guard(str(path), header, {key: tensor.shape for key, tensor in tensors.items()})
    foreign, strange = take_apart(tensors, path=path, declared=declared_scales(path, header))
    linears = linear_layers(transformer)
    factors = _assigned(foreign, strange, linears=linears, foreign_names=foreign_names, path=path)
    if not any(part.b.any() or part.magnitude is not None for part in factors.values()):
        raise UserError(f"adapter={path} changes nothing: B is zero in all its {len(factors)} layers.")
    _install(transformer, factors, name=name)
    return AttachedAdapter(len(factors), max(part.a.shape[0] for part in factors.values()), metadata)


def detach(transformer: nn.Module, *, name: str = LOADED) -> None:
    """Takes the adapter `name` off; others stay as they are, the last one leaves a bare transformer."""
    model = cast(Any, transformer)
    if set(model.peft_config) == {name}:
        model.unload_lora()
        return
    for layer in tuner_layers(transformer).values():
        if name in layer.active_adapters:
            layer.set_adapter([other for other in layer.active_adapters if other != name])
    model.delete_adapters(name)


@contextlib.contextmanager
def attached(
    transformer: nn.Module, path: str | Path, *, foreign_names: LayerNames, name: str = LOADED
) -> Iterator[AttachedAdapter]:
    """Attaches the file inside the block; afterwards other adapters are as active as before."""
    with switches_restored(transformer):
        found = attach(transformer, path, foreign_names=foreign_names, name=name)
        try:
            yield found
        finally:
            detach(transformer, name=name)


def _assigned(
    foreign: Mapping[str, Factors],
    strange: list[str],
    *,
    linears: Mapping[str, nn.Linear],
    foreign_names: LayerNames,
    path: str | Path,
) -> dict[str, Factors]:
    """Gives factors by our layer names; every foreign module must have a place, and none twice."""
    names = Names(linears, foreign_names)
    places = {module: names.resolve(module) for module in foreign}
    unmatched = [module for module, ours in places.items() if not ours] + strange
    if len(unmatched) == len(foreign) + len(strange):
        raise UserError(f"adapter={path} adapts nothing here: {_examples(unmatched, total=len(unmatched))}")
    if unmatched:
        total = len(foreign) + len(strange)
        raise UserError(f"adapter={path} fits only in part: {_examples(unmatched, total=total)}")
    factors: dict[str, Factors] = {}
    for module, ours in places.items():
        parts = _cut(foreign[module], [linears[our] for our in ours], module=module, path=path)
        if twice := factors.keys() & set(ours):
            raise UserError(f"adapter={path} cannot be used: it adapts {min(twice)} twice, once as {module}.")
        factors.update(zip(ours, parts, strict=True))
    return factors


def _examples(unmatched: list[str], *, total: int) -> str:
    if not unmatched:
        return "it is empty."
    return (
        f"{len(unmatched)} of its {total} modules are no linear layers of this transformer, for example "
        f"{', '.join(unmatched[:5])}. Use it with the model family that it was trained on."
    )


def _cut(factors: Factors, linears: list[nn.Linear], *, module: str, path: str | Path) -> list[Factors]:
    """Gives each of our layers its rows of B (and of the magnitude) after checking that sizes agree."""
    sizes = [linear.out_features for linear in linears]
    expected = (sum(sizes), linears[0].in_features)
    found = (factors.b.shape[0], factors.a.shape[1])
    lengths = found[0] if factors.magnitude is None else factors.magnitude.shape[0]
    if found != expected or lengths != found[0]:
        raise UserError(
            f"adapter={path} does not fit: in it, {module} maps {found[1]} to {found[0]} features at rank "
            f"{factors.a.shape[0]}; in this transformer it maps {expected[1]} to {expected[0]}. "
            "It belongs to a model of another size."
        )
    magnitudes = [None] * len(sizes) if factors.magnitude is None else factors.magnitude.split(sizes)
    return [
        Factors(a=factors.a, b=b, magnitude=magnitude)
        for b, magnitude in zip(factors.b.split(sizes), magnitudes, strict=True)
    ]


def _install(transformer: nn.Module, factors: Mapping[str, Factors], *, name: str) -> None:
    """Adds a frozen adapter of these ranks, with scale 1, that holds the factors."""
    ranks = {key: part.a.shape[0] for key, part in factors.items()}
    rank = max(ranks.values())
    kinds = {part.magnitude is not None for part in factors.values()}
    if len(kinds) > 1:
        raise UserError("An adapter with DoRA on some layers and LoRA on others is not supported.")
    spec = LoraSpec(rank=rank, alpha=rank, targets="file", use_dora=kinds.pop())
    add_lora(transformer, spec, ranks=ranks, name=name)
    load_adapter_state(transformer, _state(factors), name=name)
    for parameter in adapter_parameters(transformer, name=name):
        parameter.requires_grad_(False)


def _state(factors: Mapping[str, Factors]) -> dict[str, torch.Tensor]:
    state = {f"{key}.lora_A.weight": part.a for key, part in factors.items()}
    state |= {f"{key}.lora_B.weight": part.b for key, part in factors.items()}
    lengths = {key: part.magnitude for key, part in factors.items() if part.magnitude is not None}
    return state | {f"{key}.lora_magnitude_vector": magnitude for key, magnitude in lengths.items()}
