"""Whole clips: an adapter file draws alike here and in diffusers, columns share noise, networks take turns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.evaluation.video.conftest import PLAIN, ltx_model, save_adapter, tiny_ltx_video
from tests.evaluation.video.pipeline import call, pipeline_of

from loralab.errors import UserError
from loralab.evaluation.video import ClipDrawing, ClipRequest, ClipSize, DrawnClip, Row, draw_clips
from loralab.evaluation.video.mixing import mixed
from loralab.families.ltx_video import LtxVideo

SIZE = ClipSize(width=64, height=32, num_frames=9, fps=12.0)
ROW = Row(request=ClipRequest(prompt="a red fox", size=SIZE), seed=5)


def drawn(model: LtxVideo, columns: dict[str, list[Path]], *rows: Row) -> dict[str, DrawnClip]:
    clips = draw_clips(model, columns, rows=rows or [ROW], drawing=ClipDrawing())
    return {f"{clip.column}/{clip.index}": clip for clip in clips}


@pytest.mark.slow
def test_an_adapter_file_draws_the_same_clip_and_sound_in_diffusers(
    tiny_ltx_folder: Path, tmp_path: Path
) -> None:
    from diffusers import LTX2Pipeline

    model = ltx_model(tiny_ltx_folder, **PLAIN)
    path = save_adapter(model, tmp_path / "adapter.safetensors")
    ours = drawn(model, {"base": [], "adapter": [path]})

    pipeline = pipeline_of(model, LTX2Pipeline, *model.encode_prompts(["a red fox"]))
    pipeline.load_lora_weights(str(tmp_path), weight_name=path.name)
    off = {"stg_scale": 0.0, "audio_stg_scale": 0.0, "guidance_rescale": 0.0, "audio_guidance_rescale": 0.0}
    off |= dict.fromkeys(
        ("guidance_scale", "audio_guidance_scale", "modality_scale", "audio_modality_scale"), 1.0
    )
    frames, sound = call(
        pipeline, width=64, height=32, num_frames=9, frame_rate=12.0, num_inference_steps=2, output_type="pt",
        generator=torch.Generator().manual_seed(ROW.seed), **off,
    )  # fmt: skip

    clip, base = ours["adapter/0"], ours["base/0"]
    theirs = (frames[0] * 255).permute(0, 2, 3, 1)
    print(
        f"file: pixels {(clip.frames - theirs).abs().max():.2f} of 255, sound {(clip.sound - sound[0]).abs().max():.1e}"
    )
    assert (clip.frames - theirs).abs().max() <= 0.51  # ours are rounded
    assert clip.sample_rate == 48_000 and torch.allclose(clip.sound, sound[0], atol=1e-4)
    assert (clip.frames.float() - base.frames.float()).abs().mean() > 1
    assert (clip.sound - base.sound).abs().max() > 1e-3


@pytest.mark.slow
def test_networks_take_turns_and_all_are_gone_at_the_end(
    tiny_ltx_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, beside = tiny_ltx_video(tiny_ltx_folder, **PLAIN), []
    start = torch.zeros(1, 32, 64, 3, dtype=torch.uint8)
    given = Row(request=ClipRequest(prompt="a ball", size=SIZE, start=start, has_audio=False), seed=0)

    with caplog.at_level("INFO"):
        for clip in draw_clips(
            model, {"base": []}, rows=[ROW, given], drawing=ClipDrawing(),
            progress=lambda _: beside.append(set(model._components._loaded)),
        ):  # fmt: skip
            beside.append(set(model._components._loaded))
            assert (clip.sound is None) == (clip.index == 1)

    assert beside == 4 * [{"transformer"}] + 2 * [{"vae"}]
    assert model._components._loaded == {}


def test_several_adapters_add_up_in_any_order_and_leave_the_base(
    tiny_ltx_folder: Path, tmp_path: Path
) -> None:
    model = ltx_model(tiny_ltx_folder)
    paths = [save_adapter(model, tmp_path / f"{seed}.safetensors", seed=seed) for seed in (1, 2)]
    layer = "transformer_blocks.0.attn1.to_q"
    x = torch.randn(3, 32)

    def answer(files: list[Path]) -> torch.Tensor:
        with mixed(model.transformer, files, foreign_names=model.foreign_names), torch.no_grad():
            return model.transformer.get_submodule(layer)(x)

    base, one, other, both, swapped = (
        answer(files) for files in ([], paths[:1], paths[1:], paths, paths[::-1])
    )

    assert torch.allclose(both, one + other - base, atol=1e-5) and torch.allclose(both, swapped, atol=1e-5)
    assert (both - one).abs().max() > 0.1 and (both - other).abs().max() > 0.1
    assert torch.equal(answer([]), base)


def test_control_adapters_of_different_factors_are_refused_together(
    tiny_ltx_folder: Path, tmp_path: Path
) -> None:
    model = ltx_model(tiny_ltx_folder, **PLAIN)
    paths = [
        save_adapter(model, tmp_path / f"{factor}.safetensors", reference=(factor, 1)) for factor in (1, 2)
    ]

    with pytest.raises(UserError, match=r"1\.safetensors.*2\.safetensors.*cannot be used together"):
        drawn(model, {"adapter": paths})
    control = torch.zeros(9, 16, 32, 3, dtype=torch.uint8)
    asked = Row(request=ClipRequest(prompt="a red fox", size=SIZE, reference=control), seed=0)
    with pytest.raises(
        UserError, match=r"height 32 is no multiple of 64 \(references are smaller\); take 64"
    ):
        drawn(model, {"adapter": paths[1:]}, asked)
