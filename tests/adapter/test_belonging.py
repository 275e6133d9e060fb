"""Whose adapter a file is: what recognises it, what refuses it, and how the user says otherwise."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from bench.configs import save_configs
from tests.adapter.twins import METADATA

from loralab.adapter.metadata import AdapterMetadata
from loralab.denoiser import Denoiser, Sampling
from loralab.errors import UserError
from loralab.families.flux2_klein import Flux2Klein
from loralab.families.z_image import ZImage

SAMPLING = Sampling(num_steps=4, guidance_scale=1.0, height=64, width=64)
KLEIN_A = "transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj.lora_A.weight"
ZIMAGE_A = "diffusion_model.layers.0.attention.to_q.lora_A.weight"
REFUSED = "It would load without an error and spoil what is drawn."

FILES = {
    # writer and what is in the file: (file name, header, a key and its shape) -> what it is recognised as
    "PEFT, Klein 4B": ("a", {}, KLEIN_A.replace("transformer.", "base_model.model.", 1), 3072, "klein4b"),
    "diffusers, Klein 4B": ("a", {}, KLEIN_A, 3072, "klein4b"),
    "diffusers, Klein 9B": ("a", {}, KLEIN_A, 4096, "klein9b"),
    "ai-toolkit, Klein 9B": (
        "a", {"ss_base_model_version": "flux2_klein_9b"}, "diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight",
        4096, "klein9b",
    ),
    "musubi-tuner, Klein 4B": (
        "a", {"ss_base_model_version": "flux_2_klein_4b"}, "lora_unet_single_blocks_0_linear1.lora_down.weight", 3072,
        "klein4b",
    ),
    "ai-toolkit, Z-Image": ("a", {"ss_base_model_version": "zimage"}, ZIMAGE_A, 3840, "unknown"),
    "diffusers, Z-Image": ("a", {}, ZIMAGE_A.replace("diffusion_model", "transformer"), 3840, "unknown"),
    "musubi-tuner, Z-Image": (
        "a", {"modelspec.architecture": "Z-Image/lora", "ss_base_model_version": "z_image"},
        "lora_unet_layers_0_attention_to_q.lora_down.weight", 3840, "unknown",
    ),
    "musubi-tuner, with the checkpoint's name": (
        "a", {"ss_base_model_version": "z_image", "ss_sd_model_name": "z_image_turbo_bf16.safetensors"}, ZIMAGE_A, 3840,
        "turbo",
    ),
    "model spec, Turbo": ("a", {"modelspec.architecture": "z-image-turbo"}, ZIMAGE_A, 3840, "turbo"),
    "model spec, Base": ("a", {"modelspec.architecture": "Z-Image-Base/lora"}, ZIMAGE_A, 3840, "base"),
    "named after Turbo": ("zimage_turbo_training_adapter_v2", {}, ZIMAGE_A, 3840, "turbo"),
    "named after Base": ("my_z-image-base_style", {}, ZIMAGE_A, 3840, "base"),
    "named after nothing": ("basement_turbo_style", {}, ZIMAGE_A, 3840, "unknown"),
}  # fmt: skip


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Denoiser]:
    """The four real bases, by configs alone."""
    folder = tmp_path_factory.mktemp("configs")

    def klein(name: str) -> Denoiser:
        return Flux2Klein(name=name, checkpoint=str(save_configs(name, folder / name)), sampling=SAMPLING)

    zimage = str(save_configs("zimage_base", folder / "zimage"))
    return {
        "klein4b": klein("flux2_klein4b"),
        "klein9b": klein("flux2_klein9b"),
        "base": ZImage(name="zimage_base", checkpoint=zimage, sampling=SAMPLING),
        "turbo": ZImage(name="zimage_turbo", checkpoint=zimage, sampling=SAMPLING, variant="distilled"),
    }


def takes(denoiser: Denoiser, file: str) -> bool:
    name, header, key, width, _ = FILES[file]
    refusal = ""
    try:
        denoiser.foreign_names.guard(f"{name}.safetensors", header, {key: (16, width)})
    except UserError as error:
        refusal = str(error)
    assert not refusal or REFUSED in refusal
    return not refusal


@pytest.mark.parametrize("file", FILES)
def test_files_of_other_tools_are_taken_by_the_base_they_show_and_by_no_other(
    file: str, bases: dict[str, Denoiser]
) -> None:
    kind = FILES[file][-1]
    family = ("klein4b", "klein9b") if "Klein" in file else ("base", "turbo")

    assert [name for name in family if takes(bases[name], file)] == [name for name in family if name == kind]


def test_what_nobody_knows_is_refused_with_the_reason_and_the_way_out(bases: dict[str, Denoiser]) -> None:
    with pytest.raises(UserError) as refused:
        bases["turbo"].foreign_names.guard("a.safetensors", {}, {ZIMAGE_A: (16, 3840)})

    assert str(refused.value) == (
        "adapter=a.safetensors does not say what it was trained on, and both have layers of the same shapes: it can be "
        f"of Z-Image Base or Z-Image Turbo. {REFUSED} Use it with the model that it was trained on; if you know "
        "better, set model.assume_base=zimage_turbo."
    )


def twin(folder: Path, *, name: str = "tiny", variant: str = "base", assume: str | None = None) -> Denoiser:
    return Flux2Klein(
        name=name,
        checkpoint=str(folder),
        sampling=SAMPLING,
        variant=variant,
        assume_base=assume,  # type: ignore[arg-type]
    )


def trained_on(denoiser: Denoiser, **other: str) -> AdapterMetadata:
    identity = denoiser.identity()
    own = {"family": identity.family, "model": identity.model, "base_digest": identity.base_digest}
    return dataclasses.replace(METADATA, **{**own, **other})


def judged(denoiser: Denoiser, metadata: AdapterMetadata) -> str:
    """Gives the refusal, or taken."""
    try:
        denoiser.foreign_names.guard("a.safetensors", metadata.to_header(), {})
    except UserError as error:
        return str(error)
    return "taken"


def test_our_own_files_are_taken_by_the_weights_they_were_trained_on(tiny_klein_folder: Path) -> None:
    denoiser = twin(tiny_klein_folder)

    assert judged(denoiser, trained_on(denoiser)) == "taken"
    assert judged(denoiser, trained_on(denoiser, model="my_own_name")) == "taken"


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"base_digest": "0" * 64}, r"\(model=tiny\), whose weights are others than those of "),
        (
            {"base_digest": "0" * 64, "model": "other"},
            r"\(model=other\), and this is .* whose weights are others",
        ),
        ({"family": "z_image"}, "which is of the family z_image, and this is flux2_klein"),
    ],
)
def test_our_own_files_of_another_base_are_refused_unless_the_user_knows_better(
    other: dict[str, str], reason: str, tiny_klein_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = trained_on(twin(tiny_klein_folder), **other)

    with pytest.raises(UserError, match=f"was trained on somebody/some-model {reason}|{reason}.*{REFUSED}"):
        twin(tiny_klein_folder).foreign_names.guard("a.safetensors", metadata.to_header(), {})
    with pytest.raises(UserError, match=r"model\.assume_base=other: this is model=tiny"):
        twin(tiny_klein_folder, assume="other").foreign_names.guard("a", metadata.to_header(), {})
    assert judged(twin(tiny_klein_folder, assume="tiny"), metadata) == "taken"
    assert "model.assume_base=tiny: adapter=a.safetensors was trained on somebody/some-model" in caplog.text


def test_a_distilled_klein_takes_adapters_of_its_base_and_not_the_other_way_round(
    tiny_klein_folder: Path,
) -> None:
    base, distilled = (twin(tiny_klein_folder, name=name) for name in ("small", "small_distilled"))
    few = twin(tiny_klein_folder, name="small_distilled", variant="distilled")
    other = {"base_digest": "0" * 64}

    assert judged(few, trained_on(base, **other)) == "taken"
    assert "(model=small_distilled), and this is" in judged(base, trained_on(distilled, **other))


def test_a_base_of_z_image_is_not_taken_for_turbo(tiny_zimage_folder: Path) -> None:
    turbo = ZImage(
        name="zimage_turbo", checkpoint=str(tiny_zimage_folder), sampling=SAMPLING, variant="distilled"
    )
    metadata = trained_on(turbo, model="zimage_base", base_digest="0" * 64)

    assert "(model=zimage_base), and this is" in judged(turbo, metadata)
