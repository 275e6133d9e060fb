"""A teacher that was trained before: an adapter file, read as the student's own tensors."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from loralab.adapter import adapter_state
from loralab.adapter.layers import adapter_layers
from loralab.adapter.load import LOADED, attached
from loralab.adapter.roles import STUDENT
from loralab.adapter.state import differences
from loralab.denoiser import Denoiser
from loralab.errors import UserError


def taught_state(denoiser: Denoiser, location: str) -> dict[str, Tensor]:
    """Reads the file of a first stage (`objective.teacher`) in the form of `adapter_state`.

    Raises:
        UserError: if there is no such file, or it adapts other layers or has other ranks than the student.
    """
    path, transformer = Path(location).expanduser(), denoiser.transformer
    if not path.is_file():
        raise UserError(
            f"objective.teacher={location} does not exist. Name the adapter.safetensors of a run with "
            "objective.preset=adapter, or leave it out: then the run has a first stage of its own"
        )
    own = adapter_state(transformer, name=STUDENT)
    scale = {
        name: layer.scaling[STUDENT] for name, layer in adapter_layers(transformer, name=STUDENT).items()
    }
    with attached(transformer, path, foreign_names=denoiser.foreign_names):
        found = adapter_state(transformer, name=LOADED)
    if differing := differences(own, found):
        raise UserError(
            f"objective.teacher={location} is not of this run's shape: {len(differing)} tensors differ. For example, "
            f"{differing[0]}. Set adapter.rank and adapter.targets as they were when it was trained"
        )
    # Files hold alpha / rank inside B; the student multiplies by it.
    return {
        key: tensor / scale[key.rpartition(".lora_B")[0]] if ".lora_B." in key else tensor
        for key, tensor in found.items()
    }
