"""What tells the version of a file, and what each guard says."""

import pytest

from loralab.errors import UserError
from loralab.families.ltx_video.guards import (
    require_adapter_base,
    require_checkpoint_base,
    require_undistilled,
)
from loralab.families.ltx_video.reference import (
    ReferenceFactors,
    reference_factors,
    require_equal_factors,
)
from loralab.families.ltx_video.version import adapter_base, checkpoint_base

USUAL = {
    "diffusion_model.transformer_blocks.0.attn1.to_q.lora_A.weight": (32, 4096),
    "diffusion_model.transformer_blocks.0.attn1.to_q.lora_B.weight": (4096, 32),
}
"""What every tool trains: the same in every version."""
ANY, NEWER, OLDER = {"2.0", "2.3", "2.5"}, {"2.3", "2.5"}, {"2.0"}


@pytest.mark.parametrize(
    ("header", "version"),
    [
        ({"base_model_version": "2.3"}, "2.3"),
        ({"model_version": "2.3.0"}, "2.3"),
        ({"modelspec.architecture": "LTX-2.5/lora"}, "2.5"),
        ({"ss_base_model_version": "ltx-2-19b-dev"}, "2.0"),
        ({"modelspec.architecture": "ltx2/lora", "ss_base_model_version": "ltxv2.1"}, "2.1"),
        ({"base_model_version": "2.3", "model_version": "2.0"}, "2.3"),
    ],
)
def test_a_header_that_says_its_version_is_believed(header, version):
    base = adapter_base(header, USUAL, file_name="ltx-2.5-style.safetensors")

    assert base.versions == {version} and base.sure


@pytest.mark.parametrize(
    ("key", "shape", "versions"),
    [
        ("transformer_blocks.0.attn1.to_gate_logits.lora_A.weight", (4, 4096), NEWER),
        ("prompt_adaln_single.linear.lora_A.weight", (4, 4096), NEWER),
        ("transformer_blocks.0.audio_prompt_scale_shift_table", (2, 2048), NEWER),
        ("text_embedding_projection.video_aggregate_embed.lora_A.weight", (4, 188160), NEWER),
        ("text_embedding_projection.aggregate_embed.lora_A.weight", (4, 188160), OLDER),
        ("audio_caption_projection.linear_1.lora_A.weight", (4, 3840), OLDER),
        ("adaln_single.linear.lora_B.weight", (24576, 4), OLDER),
        ("audio_adaln_single.linear.lora_B.weight", (12288, 4), OLDER),
        ("adaln_single.linear.lora_B.weight", (36864, 4), NEWER),
        ("audio_time_embed.linear.lora_B.weight", (18432, 4), NEWER),
        ("adaln_single.linear.lora_A.weight", (4, 4096), ANY),
        ("av_ca_video_scale_shift_adaln_single.linear.lora_B.weight", (16384, 4), ANY),
        ("video_embeddings_connector.transformer_1d_blocks.2.ff.net.2.lora_A.weight", (4, 16384), NEWER),
        ("video_embeddings_connector.transformer_1d_blocks.0.attn1.to_q.lora_A.weight", (4, 4096), NEWER),
        ("audio_embeddings_connector.transformer_1d_blocks.1.attn1.to_q.lora_A.weight", (4, 2048), NEWER),
        ("connectors.video_connector.transformer_blocks.0.attn1.to_q.lora_A.weight", (4, 3840), OLDER),
        ("proj_out.lora_A.weight", (4, 4096), ANY),
    ],
)
@pytest.mark.parametrize("is_flat", [False, True])
def test_keys_and_sizes_tell_what_they_can(key, shape, versions, is_flat):
    if is_flat:
        module, part = key.rsplit(".lora_", 1) if ".lora_" in key else (key, "A.weight")
        key = f"{module.replace('.', '_')}.lora_{ {'A': 'down', 'B': 'up'}[part[0]] }.weight"

    base = adapter_base({}, USUAL | {f"diffusion_model.{key}": shape})

    assert base.versions == versions and base.sure
    assert versions == ANY or key in base.reason


@pytest.mark.parametrize(
    ("file_name", "versions", "sure"),
    [
        ("ltx-2.3-22b-ic-lora-union-control-ref0.5.safetensors", {"2.3"}, False),
        ("ltx-2-19b-lora-camera-control-dolly-in.safetensors", {"2.0"}, False),
        ("LTX2.5_style.safetensors", {"2.5"}, False),
        ("my_style_v2.3.safetensors", ANY, True),
        ("lora_weights_step_02000.safetensors", ANY, True),
    ],
)
def test_a_file_name_makes_a_version_probable(file_name, versions, sure):
    base = adapter_base({}, USUAL, file_name=file_name)

    assert (base.versions, base.sure) == (versions, sure)


def test_a_file_name_decides_between_what_keys_leave_open_and_not_against_them():
    gates = USUAL | {"transformer_blocks.0.attn1.to_gate_logits.lora_A.weight": (4, 4096)}

    assert adapter_base({}, gates, file_name="ltx-2.3-style").versions == {"2.3"}
    assert adapter_base({}, gates, file_name="ltx-2-19b-style").versions == NEWER


def refused(header=None, shapes=USUAL, file_name="", **assumed) -> str:
    with pytest.raises(UserError) as caught:
        require_adapter_base(
            "a.safetensors", adapter_base(header or {}, shapes, file_name=file_name), **assumed
        )
    return str(caught.value)


def test_adapters_of_23_are_let_through():
    for header, file_name, assumed in (
        ({"base_model_version": "2.3"}, "", None),
        ({}, "ltx-2.3-22b-style", None),
        ({}, "", 2.3),
        ({}, "ltx-2-19b-lora-camera-control-static", "2.3"),
    ):
        base = adapter_base(header, USUAL, file_name=file_name)
        require_adapter_base("a.safetensors", base, assume_base=assumed)


def test_a_known_other_version_is_refused_even_where_another_is_assumed():
    for assumed in ({}, {"assume_base": "2.3"}):
        message = refused({"base_model_version": "2.0"}, **assumed)
        assert message.startswith(
            "adapter=a.safetensors belongs to LTX-2.0: its header says base_model_version=2.0. This model is LTX-2.3"
        )
        assert "retrain it with latents and captions encoded by LTX-2.3." in message
    for version in ("2.1", "2.5"):
        assert f"belongs to LTX-{version}: " in refused({"model_version": version})
    old = {"adaln_single.linear.lora_B.weight": (24576, 4)}
    assert "has 24576 rows" in refused(shapes=old, assume_base="2.3")


def test_a_probable_other_version_is_refused_and_the_way_out_is_told():
    message = refused(file_name="ltx-2-19b-lora-camera-control-static")

    assert "belongs to LTX-2.0: its name is ltx-2-19b" in message
    assert "or set model.assume_base=2.3 if you know better." in message


def test_an_unknown_version_is_refused_until_it_is_assumed():
    gates = {"transformer_blocks.0.attn1.to_gate_logits.lora_A.weight": (4, 4096)}

    message = refused()

    assert "it can be of 2.0, 2.3, 2.5" in message and "it adapts layers that all versions have" in message
    assert "set model.assume_base=2.3; otherwise retrain" in message
    assert "it can be of 2.3, 2.5" in refused(shapes=gates)
    assert refused(assume_base="2.0").startswith("model.assume_base=2.0: this model is LTX-2.3")


def test_checkpoints_of_other_versions_and_distilled_ones_are_refused():
    config = {"gated_attn": True, "cross_attn_mod": True, "ff_bias": True}
    dynamic = {"use_dynamic_shifting": True, "shift_terminal": 0.1}

    require_checkpoint_base("somebody/LTX-2.3", config, model="ltx23")
    require_undistilled("/distilled/LTX-2.3-Diffusers", dynamic, model="ltx23")

    with pytest.raises(
        UserError, match=r"checkpoint=Lightricks/LTX-2 is LTX-2\.0, but model=ltx23 is LTX-2\.3"
    ):
        require_checkpoint_base("Lightricks/LTX-2", {"gated_attn": False}, model="ltx23")
    with pytest.raises(UserError, match=r"is LTX-2\.5"):
        require_checkpoint_base("folder", config | {"ff_bias": False}, model="ltx23")
    for checkpoint, scheduler in (
        ("diffusers/LTX-2.3-Distilled-Diffusers", dynamic),
        ("folder", {"use_dynamic_shifting": False, "shift_terminal": None}),
    ):
        with pytest.raises(
            UserError, match=r"is distilled, but model=ltx23 means a base .* model=ltx23_distilled"
        ):
            require_undistilled(checkpoint, scheduler, model="ltx23")


def test_the_version_of_a_config_is_that_of_the_class_that_was_made_with_it():
    from tests.tiny_ltx import ltx_transformer

    assert checkpoint_base(ltx_transformer(num_layers=1).config) == "2.3"


def test_reference_factors_go_through_a_header_and_disagreeing_adapters_are_refused():
    half, quarter = ReferenceFactors(2), ReferenceFactors(2, 4)
    headers = {"one": half.to_header(), "style": {}, "two": {"reference_downscale_factor": "2"}}

    assert reference_factors("one", quarter.to_header()) == quarter
    assert reference_factors("two", {"reference_downscale_factor": "2.0"}) == half
    assert reference_factors("style", {"format": "pt"}) is None
    assert require_equal_factors(headers) == half
    assert require_equal_factors({"style": {}}) == ReferenceFactors()
    with pytest.raises(
        UserError, match=r"adapter=one .* 2 \(sides\) and 1 .*, adapter=slow by 2 .* and 4 \(frame"
    ):
        require_equal_factors({**headers, "slow": quarter.to_header()})


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            {"reference_downscale_factor": "0.5"},
            "says reference_downscale_factor=0.5, which is no whole number",
        ),
        ({"reference_temporal_scale_factor": "four"}, "reference_temporal_scale_factor=four"),
        (
            {"reference_downscale_factor": "2", "reference_spatial_scale_factor": "4"},
            r"contradicts itself \(reference_downscale_factor=2, reference_spatial_scale_factor=4\)",
        ),
    ],
)
def test_damaged_reference_factors_are_refused(header, message):
    with pytest.raises(UserError, match=message):
        reference_factors("a.safetensors", header)
