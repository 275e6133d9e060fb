"""The adapter's tensors as a value: taken out, put back, or exchanged for a while (checkpoints, EMA)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from loralab.adapter.layers import TRAINED
from loralab.adapter.lora import named_tensors
from loralab.errors import UserError


def adapter_state(transformer: nn.Module, *, name: str = TRAINED) -> dict[str, Tensor]:
    """Copies the adapter to the CPU under PEFT's keys, `<module>.lora_A.weight`; the base is not in it."""
    tensors = named_tensors(transformer, name=name)
    return {key: tensor.detach().to("cpu", copy=True) for key, tensor in tensors.items()}


def load_adapter_state(transformer: nn.Module, state: Mapping[str, Tensor], *, name: str = TRAINED) -> None:
    """Writes a state from `adapter_state` into the adapter, in place: optimizers keep their parameters.

    Raises:
        UserError: if a tensor is missing, left over or of another shape; nothing is written then.
    """
    tensors = named_tensors(transformer, name=name)
    if differing := differences(tensors, state):
        raise UserError(
            f"The saved adapter does not fit the configured one: {len(differing)} tensors differ. For "
            f"example, {differing[0]}. "
            "Resume with the same model, adapter, adapter.rank and adapter.targets, or start a new run."
        )
    with torch.no_grad():
        for key, tensor in tensors.items():
            tensor.copy_(state[key])


def differences(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Says of every tensor that one of the two lacks, or has in another shape, what it is in the file and here."""
    return [
        f"{key} is {_shape(found, key)} in the file and {_shape(own, key)} here"
        for key in {**own, **found}
        if _shape(own, key) != _shape(found, key)
    ]


@contextlib.contextmanager
def with_state(transformer: nn.Module, state: Mapping[str, Tensor], *, name: str = TRAINED) -> Iterator[None]:
    """Lets the adapter hold `state` (an average, a snapshot) inside the block; its own tensors come back."""
    tensors = named_tensors(transformer, name=name)
    own = {key: tensor.detach().clone() for key, tensor in tensors.items()}
    load_adapter_state(transformer, state, name=name)
    try:
        yield
    finally:
        load_adapter_state(transformer, own, name=name)


def _shape(tensors: Mapping[str, Tensor], key: str) -> tuple[int, ...] | str:
    return tuple(tensors[key].shape) if key in tensors else "absent"
