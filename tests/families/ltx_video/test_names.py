"""The vendor's layer names: both ways, against diffusers' converter, and through files that diffusers loads."""

import pytest
import torch
from safetensors import safe_open
from tests.families.ltx_video.requests import audio, first_frame, video
from tests.tiny_ltx import ltx_transformer

from loralab.adapter import (
    AdapterMetadata,
    LoraSpec,
    adapter_parameters,
    adapter_state,
    attach,
    export_adapter,
    inject,
)
from loralab.adapter.names import Names
from loralab.families.ltx_video.names import EXPORT_PREFIX, FOREIGN_NAMES, vendor_name
from loralab.families.ltx_video.network import predict
from loralab.families.ltx_video.targets import TARGETS

METADATA = AdapterMetadata(
    family="ltx_video", model="ltx23", checkpoint="somebody/some-model", base_digest="0" * 64,
    objective="audio_video_flow", rank=4, alpha=2.0, targets="attention", step=7, config_digest="f" * 64,
)  # fmt: skip
OUTSIDE = (
    r"proj_in|audio_proj_in|.*time_embed\.linear|.*prompt_adaln\.linear|av_cross_attn_.*\.linear|proj_out"
)


def linears(network):
    return [name for name, layer in network.named_modules() if isinstance(layer, torch.nn.Linear)]


def trained(pattern):
    """A transformer with an adapter of alpha unequal to rank whose tensors are all random."""
    network = ltx_transformer()
    inject(network, LoraSpec(rank=4, alpha=2.0, targets=pattern), pattern=pattern)
    with torch.no_grad():
        for parameter in adapter_parameters(network):
            parameter.normal_(0, 0.3)
    return network


def exported(network, path, **more):
    return export_adapter(
        network, path, prefix=EXPORT_PREFIX, metadata=METADATA, rename=vendor_name,
        header={"base_model_version": "2.3"}, **more,
    )  # fmt: skip


@torch.no_grad()
def answer(network):
    torch.manual_seed(5)
    return predict(network.eval(), video=video(conditioned=first_frame()), audio=audio())


def assert_same(one, other):
    torch.testing.assert_close(one.video, other.video, atol=1e-5, rtol=0)
    torch.testing.assert_close(one.audio, other.audio, atol=1e-5, rtol=0)


def test_diffusers_reads_the_vendors_name_of_every_linear_layer_as_ours():
    from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_ltx2_lora_to_diffusers

    ours = linears(ltx_transformer())
    theirs = [vendor_name(name) for name in ours]
    keys = {f"diffusion_model.{name}.lora_A.weight": index for index, name in enumerate(theirs)}

    converted = _convert_non_diffusers_ltx2_lora_to_diffusers(keys)

    assert {key: ours[index] for key, index in converted.items()} == {
        f"transformer.{name}.lora_A.weight": name for name in ours
    }
    assert vendor_name("av_cross_attn_video_a2v_gate.linear") == "av_ca_a2v_gate_adaln_single.linear"


@pytest.mark.parametrize("separator", [".", "_"])
def test_files_of_other_tools_find_every_layer(separator):
    ours = linears(ltx_transformer())
    names = Names(ours, FOREIGN_NAMES)
    prefix = {".": "diffusion_model.", "_": "lora_unet_"}[separator]

    found = [names.resolve(prefix + vendor_name(name).replace(".", separator)) for name in ours]

    assert found == [(name,) for name in ours]


@pytest.mark.parametrize("pattern", [TARGETS["attention_mlp"], OUTSIDE], ids=["blocks", "outside"])
def test_an_exported_file_has_the_vendors_keys_and_comes_back_the_same(pattern, tmp_path):
    network = trained(pattern)
    path = exported(network, tmp_path / "adapter.safetensors")
    fresh = ltx_transformer()

    attached = attach(fresh, path, foreign_names=FOREIGN_NAMES)

    with safe_open(path, framework="pt") as file:
        keys, header = list(file.keys()), file.metadata()
    core = (
        "transformer_blocks. patchify_proj. audio_patchify_proj. adaln_single. audio_adaln_single. proj_out. "
    )
    core += "prompt_adaln_single. audio_prompt_adaln_single. av_ca_"
    assert keys and all(key.startswith("diffusion_model.") for key in keys)
    assert all(key.removeprefix("diffusion_model.").startswith(tuple(core.split())) for key in keys)
    assert all(key.endswith((".lora_A.weight", ".lora_B.weight")) for key in keys)
    assert header["base_model_version"] == "2.3"
    assert attached.num_modules == len(keys) // 2
    assert_same(answer(fresh), answer(network))
    assert (answer(fresh).audio - answer(ltx_transformer()).audio).abs().max() > 0.01


@pytest.mark.parametrize("pattern", [TARGETS["attention_mlp"], OUTSIDE], ids=["blocks", "outside"])
def test_diffusers_loads_an_exported_file_with_the_same_video_and_audio(pattern, tmp_path):
    from diffusers.loaders import LTX2LoraLoaderMixin

    network = trained(pattern)
    path = exported(network, tmp_path / "adapter.safetensors")
    fresh = ltx_transformer()

    state, metadata = LTX2LoraLoaderMixin.lora_state_dict(
        str(path.parent), weight_name=path.name, return_lora_metadata=True
    )
    LTX2LoraLoaderMixin.load_lora_into_transformer(state, fresh, adapter_name="loaded", metadata=metadata)

    assert_same(answer(fresh), answer(network))


def test_an_average_is_exported_under_the_vendors_names_too(tmp_path):
    network = trained(OUTSIDE)
    half = {key: tensor / 2 for key, tensor in adapter_state(network).items()}

    path = exported(network, tmp_path / "adapter.safetensors", state=half)

    with safe_open(path, framework="pt") as file:
        a = file.get_tensor("diffusion_model.patchify_proj.lora_A.weight")
        assert file.metadata()["base_model_version"] == "2.3"
    assert torch.equal(a, half["proj_in.lora_A.weight"])


def test_the_scale_is_in_b_for_tools_that_know_no_alpha(tmp_path):
    network = trained(TARGETS["video_attention"])
    layer = network.transformer_blocks[0].attn1.to_q
    path = exported(network, tmp_path / "adapter.safetensors")

    with safe_open(path, framework="pt") as file:
        b = file.get_tensor("diffusion_model.transformer_blocks.0.attn1.to_q.lora_B.weight")

    assert layer.scaling["adapter"] == 0.5
    torch.testing.assert_close(b, 0.5 * layer.lora_B["adapter"].weight.detach())
