import json
import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tests.adapter.twins import KLEIN, METADATA, Twin, load_with_diffusers

from loralab.adapter import (
    LoraSpec,
    adapter_parameters,
    adapter_state,
    attach,
    export_adapter,
    inject,
    update_norms,
)
from loralab.errors import UserError

KINDS = [{}, {"use_rslora": True}, {"use_dora": True}, {"use_dora": True, "use_rslora": True}]


def export(transformer, path: Path, **more) -> Path:
    return export_adapter(transformer, path, prefix="transformer.", metadata=METADATA, **more)


@pytest.mark.parametrize("kind", KINDS)
def test_diffusers_draws_the_same_velocity_from_an_exported_file(twin: Twin, kind: dict, tmp_path: Path):
    transformer = twin.trained(**kind)
    path = export(transformer, tmp_path / "a.safetensors")

    loaded = load_with_diffusers(twin, path)

    torch.testing.assert_close(twin.velocity(loaded), twin.velocity(transformer), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_transformer_draws_the_same_velocity_from_an_exported_file(
    twin: Twin, kind: dict, tmp_path: Path
):
    transformer = twin.trained(**kind)
    path = export(transformer, tmp_path / "a.safetensors")
    fresh = twin.base()

    attach(fresh, path, foreign_names=twin.foreign_names)

    torch.testing.assert_close(twin.velocity(fresh), twin.velocity(transformer), atol=1e-6, rtol=0)


def test_a_file_without_its_header_still_means_the_same(twin: Twin, tmp_path: Path):
    """What a tool sees that ignores the header, as ComfyUI does: keys with the prefix, and no alpha to apply."""
    transformer = twin.trained()
    tensors = load_file(export(transformer, tmp_path / "a.safetensors"))

    weights = dict(twin.base().named_parameters())
    for name, norm in update_norms(transformer).items():
        a, b = (
            tensors.pop(f"transformer.{name}.lora_A.weight"),
            tensors.pop(f"transformer.{name}.lora_B.weight"),
        )
        assert (b @ a).shape == weights[f"{name}.weight"].shape
        assert (b @ a).norm().item() == pytest.approx(norm, rel=1e-4)
    assert not tensors


def test_the_header_declares_a_scale_of_one_whatever_alpha_was(tmp_path: Path):
    path = export(KLEIN.trained(), tmp_path / "a.safetensors")

    with safe_open(path, framework="pt") as file:
        header = file.metadata()

    declared = json.loads(header["lora_adapter_metadata"])
    assert header["format"] == "pt"
    assert declared["transformer.lora_alpha"] == declared["transformer.r"] == METADATA.rank
    assert header["loralab.alpha"] == "2.0"


def test_a_dora_file_says_that_not_every_tool_reads_it(tmp_path: Path):
    path = export(KLEIN.trained(use_dora=True), tmp_path / "a.safetensors")

    with safe_open(path, framework="pt") as file:
        assert "ComfyUI" in file.metadata()["loralab.note"]


def test_the_same_adapter_gives_the_same_bytes_with_sorted_header_keys(tmp_path: Path):
    files = [export(KLEIN.trained(), tmp_path / f"{n}.safetensors").read_bytes() for n in range(3)]

    header = json.loads(files[0][8 : 8 + int.from_bytes(files[0][:8], "little")])
    assert files[0] == files[1] == files[2]
    assert list(header) == sorted(header)
    assert list(header["__metadata__"]) == sorted(header["__metadata__"])


def test_a_given_state_is_written_instead_of_the_adapter_itself(twin: Twin, tmp_path: Path):
    transformer, average = twin.trained(seed=1), twin.trained(seed=2)
    own = twin.velocity(transformer)

    path = export(transformer, tmp_path / "a.safetensors", state=adapter_state(average))

    torch.testing.assert_close(
        twin.velocity(load_with_diffusers(twin, path)), twin.velocity(average), atol=1e-6, rtol=0
    )
    assert torch.equal(twin.velocity(transformer), own)


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_an_adapter_that_is_not_finite_leaves_the_last_file_as_it_was(tmp_path: Path, value: float):
    transformer = KLEIN.trained()
    path = export(transformer, tmp_path / "a.safetensors")
    good = path.read_bytes()

    with torch.no_grad():
        adapter_parameters(transformer)[5].view(-1)[0] = value

    with pytest.raises(UserError, match=r"a\.safetensors is not written.*NaN"):
        export(transformer, path)
    assert path.read_bytes() == good
    assert list(tmp_path.iterdir()) == [path]


def test_an_adapter_that_changed_nothing_is_not_written(tmp_path: Path):
    transformer = KLEIN.base()
    inject(transformer, LoraSpec(rank=4, alpha=4, targets="all"), pattern=KLEIN.targets["all"])

    with pytest.raises(UserError, match="changed nothing"):
        export(transformer, tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_an_adapter_over_a_bf16_base_is_written_in_fp32(twin: Twin, tmp_path: Path):
    transformer = twin.base(torch.bfloat16)
    inject(transformer, LoraSpec(rank=4, alpha=2, targets="all"), pattern=twin.targets["all"])
    with torch.no_grad():
        for parameter in adapter_parameters(transformer):
            parameter.normal_()

    tensors = load_file(export(transformer, tmp_path / "a.safetensors"))

    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert any(tensor.bfloat16().float().ne(tensor).any() for tensor in tensors.values())
