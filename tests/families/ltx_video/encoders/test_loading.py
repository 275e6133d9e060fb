"""Loading: what of a folder is read, in which precision, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from loralab.errors import UserError
from loralab.families.ltx_video.encoders import loading
from loralab.families.shared.checkpoint import Checkpoint
from loralab.linears import FrozenLinear
from loralab.memory import Placement

CPU = torch.device("cpu")


def test_gemma_is_its_language_layers_alone_frozen_and_in_the_bases_precision(checkpoint: Checkpoint) -> None:
    network = loading.load_gemma(checkpoint, Placement(CPU, torch.bfloat16))

    parameters = dict(network.named_parameters())
    assert {name.split(".")[0] for name in parameters} == {"embed_tokens", "layers", "norm"}
    assert {parameter.dtype for parameter in parameters.values()} == {torch.bfloat16}
    assert not network.training and not any(parameter.requires_grad for parameter in parameters.values())


def test_every_linear_layer_of_gemma_is_int8_beside_a_quantised_base(checkpoint: Checkpoint) -> None:
    network = loading.load_gemma(checkpoint, Placement(CPU, torch.bfloat16, kind="nf4"))

    held = [module for module in network.modules() if isinstance(module, FrozenLinear)]
    assert len(held) == 3 * 7 and not any(type(module) is nn.Linear for module in network.modules())


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model.", "model.", ""])
def test_language_layers_are_found_under_every_known_prefix(prefix: str) -> None:
    found = loading.LANGUAGE.fullmatch(f"{prefix}layers.0.mlp.up_proj.weight")

    assert found is not None and found[1] == "layers.0.mlp.up_proj.weight"


@pytest.mark.parametrize(
    "name",
    ["model.vision_tower.encoder.layers.0.mlp.fc1.weight", "lm_head.weight", "language_model.lm_head.weight"],
)
def test_other_tensors_of_gemma_are_not_read(name: str) -> None:
    assert loading.LANGUAGE.fullmatch(name) is None


def test_vaes_and_vocoder_compute_in_fp32_and_connectors_as_the_base_does(checkpoint: Checkpoint) -> None:
    placement = Placement(CPU, torch.bfloat16, kind="int8")

    for load in (loading.load_vae, loading.load_audio_vae, loading.load_vocoder):
        assert next(load(checkpoint, placement).parameters()).dtype == torch.float32
    assert next(loading.load_connectors(checkpoint, placement).parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("component", "class_name"),
    [
        ("text_encoder", "Gemma4UnifiedForConditionalGeneration"),
        ("vocoder", "SpeechT5HifiGan"),
        ("vae", "AutoencoderKL"),
    ],
)
def test_a_checkpoint_with_another_network_is_refused_by_name(
    checkpoint: Checkpoint, tmp_path: Path, component: str, class_name: str
) -> None:
    copy = Path(shutil.copytree(checkpoint.location, tmp_path / "copy"))
    index = json.loads((copy / "model_index.json").read_text())
    index[component][1] = class_name
    (copy / "model_index.json").write_text(json.dumps(index))
    load = {"text_encoder": loading.load_gemma, "vocoder": loading.load_vocoder, "vae": loading.load_vae}[
        component
    ]

    with pytest.raises(UserError, match=f"its {component} is a {class_name}"):
        load(Checkpoint(str(copy), None, pipeline="LTX2Pipeline"), Placement(CPU, torch.float32))


def test_weights_that_are_no_safetensors_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(checkpoint.location, tmp_path / "copy"))
    for file in (copy / "audio_vae").glob("*.safetensors"):
        file.rename(file.with_suffix(".bin"))

    with pytest.raises(UserError, match=r"no \*\.safetensors"):
        loading.load_audio_vae(
            Checkpoint(str(copy), None, pipeline="LTX2Pipeline"), Placement(CPU, torch.float32)
        )
