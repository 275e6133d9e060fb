"""A tiny Klein and an adapter file that changes what it draws."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from loralab.adapter import AdapterMetadata, LoraSpec, adapter_parameters, export_adapter, inject
from loralab.denoiser import Sampling
from loralab.evaluation.features import FeatureNet
from loralab.families.flux2_klein import Flux2Klein
from loralab.memory import Placement


@pytest.fixture
def klein(tiny_klein_folder: Path) -> Flux2Klein:
    """Two steps with guidance at 64x64, in fp32 on the CPU."""
    return new_klein(tiny_klein_folder)


def new_klein(folder: Path) -> Flux2Klein:
    sampling = Sampling(num_steps=2, guidance_scale=3.0, height=64, width=64)
    made = Flux2Klein(name="tiny", checkpoint=str(folder), sampling=sampling, max_prompt_length=48)
    made.place(Placement(torch.device("cpu"), torch.float32))
    return made


@pytest.fixture(scope="session")
def adapter_file(tiny_klein_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported adapter with random weights, as if trained."""
    klein = new_klein(tiny_klein_folder)
    inject(
        klein.transformer,
        LoraSpec(rank=4, alpha=4, targets="attention_mlp"),
        pattern=klein.target_pattern("attention_mlp"),
    )
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in adapter_parameters(klein.transformer):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=source))
    metadata = AdapterMetadata(
        family="flux2_klein",
        model="tiny",
        checkpoint=str(tiny_klein_folder),
        base_digest=klein.identity().base_digest,
        objective="flow_matching",
        rank=4,
        alpha=4,
        targets="attention_mlp",
        step=1,
        config_digest="0" * 64,
    )
    path = tmp_path_factory.mktemp("adapter") / "adapter.safetensors"
    return export_adapter(klein.transformer, path, prefix=klein.export_prefix, metadata=metadata)


@pytest.fixture(scope="session")
def network() -> FeatureNet:
    """The pretrained feature network at a small working size."""
    return FeatureNet(side=64)
