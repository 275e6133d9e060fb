"""Folders, hub ids and package folders: what is found, and what is said when it is not."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from loralab.denoiser import Sampling
from loralab.errors import UserError
from loralab.families.flux2_klein import Flux2Klein
from loralab.families.shared.checkpoint import Checkpoint
from loralab.families.shared.digest import file_digest
from loralab.files import sha256_file
from loralab.memory import Placement

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def klein_at(location: str | Path, revision: str | None = None) -> Flux2Klein:
    sampling = Sampling(num_steps=4, guidance_scale=4.0, height=64, width=64)
    return Flux2Klein(name="tiny", checkpoint=str(location), revision=revision, sampling=sampling)


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def hub_cache(folder: Path, cache: Path) -> None:
    """Lays a pipeline folder out as the hub's local cache does: blobs named by hash, a snapshot of links."""
    repository = cache / "models--someone--tiny"
    for file in (file for file in folder.rglob("*") if file.is_file()):
        blob = repository / "blobs" / sha256_file(file)
        link = repository / "snapshots" / COMMIT / file.relative_to(folder)
        blob.parent.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, blob)
        link.symlink_to(blob)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)


@pytest.mark.parametrize("location", ["nowhere", "/no/such/folder", "~/no/such/folder", "a/b/c"])
def test_a_missing_folder_is_named(location: str) -> None:
    with pytest.raises(UserError, match=rf"model\.checkpoint={location}: there is no such folder"):
        klein_at(location).identity()


def test_weights_that_did_not_come_with_a_package_name_what_makes_them() -> None:
    with pytest.raises(UserError, match=r"nano/none: .* is not there.*python -m loralab\.nano --help"):
        klein_at("package://loralab.nano/none").identity()


def test_a_hub_id_without_network_says_how_to_go_on() -> None:
    with pytest.raises(
        UserError, match=r"someone/unknown .* hub cannot be reached .* local diffusers folder"
    ):
        klein_at("someone/unknown").identity()


def test_a_hub_id_is_read_from_the_local_cache_at_one_commit(
    tiny_klein_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_cache(tiny_klein_folder, tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    from_hub, from_folder = klein_at("someone/tiny"), klein_at(tiny_klein_folder)

    assert from_hub.identity().revision == COMMIT
    assert from_folder.identity().revision is None
    assert from_hub.identity().base_digest == from_folder.identity().base_digest
    assert torch.equal(from_hub.encode_prompts(["a cat"])[0], from_folder.encode_prompts(["a cat"])[0])


def test_an_unknown_revision_is_named(
    tiny_klein_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_cache(tiny_klein_folder, tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(UserError, match=r"model\.revision=older"):
        klein_at("someone/tiny", revision="older").identity()


def test_a_revision_of_a_folder_has_no_effect_and_is_refused(tiny_klein_folder: Path) -> None:
    with pytest.raises(UserError, match=r"model\.revision=main has no effect"):
        klein_at(tiny_klein_folder, revision="main").identity()


def test_another_pipeline_is_refused_by_name(tiny_zimage_folder: Path) -> None:
    with pytest.raises(UserError, match="is a ZImagePipeline, but this model needs a Flux2KleinPipeline"):
        klein_at(tiny_zimage_folder).identity()


def test_a_folder_without_an_index_is_not_a_pipeline(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model_index\.json is missing"):
        klein_at(tmp_path).identity()


def test_a_broken_index_is_named(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{")

    with pytest.raises(UserError, match=r"model_index\.json is not valid JSON"):
        klein_at(tmp_path).identity()


def test_a_component_left_out_is_named(tiny_klein_folder: Path, tmp_path: Path) -> None:
    folder = copied(tiny_klein_folder, tmp_path / "model")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "text_encoder": [None, None]}))

    with pytest.raises(UserError, match="has no text_encoder"):
        klein_at(folder).encode_prompts(["a cat"])


def test_weights_in_another_format_are_not_read(tiny_klein_folder: Path, tmp_path: Path) -> None:
    folder = copied(tiny_klein_folder, tmp_path / "model")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(
        folder / "vae" / "diffusion_pytorch_model.bin"
    )

    with pytest.raises(UserError, match=r"no \*\.safetensors"):
        klein_at(folder).encode_pixels(torch.zeros(1, 3, 64, 64))


def test_a_missing_shard_is_named(tiny_klein_folder: Path, tmp_path: Path) -> None:
    folder = copied(tiny_klein_folder, tmp_path / "model")
    index = {"weight_map": {"a": "diffusion_pytorch_model.safetensors", "b": "second.safetensors"}}
    (folder / "vae" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))

    with pytest.raises(UserError, match=r"second\.safetensors missing"):
        klein_at(folder).pixel_fingerprint()


def test_another_class_of_network_is_refused_by_name(tiny_klein_folder: Path, tmp_path: Path) -> None:
    folder = copied(tiny_klein_folder, tmp_path / "model")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "vae": ["diffusers", "AutoencoderKL"]}))

    with pytest.raises(
        UserError, match="its vae is a AutoencoderKL, but this model needs a AutoencoderKLFlux2"
    ):
        klein_at(folder).encode_pixels(torch.zeros(1, 3, 64, 64))


def test_a_folder_inside_a_package_is_found() -> None:
    checkpoint = Checkpoint("package://loralab/families", None, pipeline="Flux2KleinPipeline")

    assert (checkpoint.root / "shared" / "checkpoint.py").is_file()


def test_an_unknown_package_is_named() -> None:
    with pytest.raises(UserError, match="no Python package no_such_package"):
        klein_at("package://no_such_package/klein").identity()


def test_the_base_digest_is_that_of_the_weights_and_not_of_remarks(
    tiny_klein_folder: Path, tmp_path: Path
) -> None:
    from diffusers import Flux2Transformer2DModel

    remarked, changed = (
        copied(tiny_klein_folder, tmp_path / "remarked"),
        copied(tiny_klein_folder, tmp_path / "changed"),
    )
    config = json.loads((remarked / "transformer" / "config.json").read_text())
    (remarked / "transformer" / "config.json").write_text(json.dumps({**config, "_diffusers_version": "9.9"}))
    network = Flux2Transformer2DModel.from_pretrained(changed / "transformer")
    with torch.no_grad():
        network.proj_out.weight[0, 0] += 1
    network.save_pretrained(changed / "transformer")

    original = klein_at(tiny_klein_folder).identity().base_digest

    assert klein_at(remarked).identity().base_digest == original
    assert klein_at(changed).identity().base_digest != original


def test_fingerprints_change_with_what_embeddings_depend_on(tiny_klein_folder: Path, tmp_path: Path) -> None:
    sampling = Sampling(num_steps=4, guidance_scale=4.0, height=64, width=64)
    folder = copied(tiny_klein_folder, tmp_path / "model")
    template = folder / "tokenizer" / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant", "robot"))

    original = klein_at(tiny_klein_folder)
    shorter = Flux2Klein(
        name="tiny", checkpoint=str(tiny_klein_folder), sampling=sampling, max_prompt_length=64
    )
    halved = klein_at(tiny_klein_folder)
    halved.place(Placement(torch.device("cpu"), torch.bfloat16))

    prompts = {each.prompt_fingerprint() for each in (original, shorter, halved, klein_at(folder))}
    pixels = {each.pixel_fingerprint() for each in (original, shorter, halved, klein_at(folder))}

    assert len(prompts) == 4
    assert len(pixels) == 1


def test_a_large_file_is_hashed_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    weights = tmp_path / "weights.safetensors"
    with weights.open("wb") as file:
        file.truncate(2**26 + 1)

    first = file_digest(weights)
    notes = list((tmp_path / "cache").rglob("*.sha256"))
    notes[0].write_text("remembered")
    again = file_digest(weights)
    os.utime(weights, ns=(1, 1))
    touched = file_digest(weights)

    assert len(first) == 64
    assert again == "remembered"
    assert touched == first
