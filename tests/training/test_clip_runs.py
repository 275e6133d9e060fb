"""Whole runs on a tiny LTX-Video from real video files: modes, references, resume, and the file in diffusers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tests.training.clip_runs import clip_config, save_clips, save_pairs
from tests.training.runs import finished, logged

from loralab.adapter import attached
from loralab.denoiser import AudioInput, ClipSampling, VideoInput
from loralab.errors import UserError
from loralab.families.ltx_video import LtxVideo

BOTH = ("objective.mode=t2av", "adapter.targets=attention_mlp")


def header_and_keys(path: Path) -> tuple[dict[str, str], list[str]]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata()), list(file.keys())


def requested() -> dict[str, Any]:
    sigma = torch.tensor([0.6])
    return {
        "video": VideoInput(
            noisy=torch.randn(1, 8, 2, 2, 3), fps=torch.tensor([24.0]), sigma=sigma,
            prompt_embeds=torch.randn(1, 16, 32),
        ),
        "audio": AudioInput(
            noisy=torch.randn(1, 2, 10, 4), sigma=sigma, prompt_embeds=torch.randn(1, 16, 16)
        ),
    }  # fmt: skip


def test_video_and_sound_are_learned_from_files_and_the_adapter_draws_the_same_in_diffusers(
    tiny_ltx_folder: Path, tmp_path: Path
) -> None:
    from diffusers import LTX2Pipeline

    clips = save_clips(tmp_path / "clips")
    config = clip_config(
        tiny_ltx_folder, clips, *BOTH, "dataset.validation_fraction=0.3", cache=tmp_path / "cache"
    )
    result = finished(config, tmp_path / "run")
    adapter, given = tmp_path / "run" / "adapter.safetensors", requested()
    model = LtxVideo(
        name="ltx23", checkpoint=str(tiny_ltx_folder),
        sampling=ClipSampling(num_steps=2, width=64, height=64, num_frames=9, fps=24.0),
    )  # fmt: skip

    with torch.no_grad():
        base = model.predict(**given)
        with attached(model.transformer, adapter, foreign_names=model.foreign_names):
            ours = model.predict(**given)
        pipeline = LTX2Pipeline.from_pretrained(tiny_ltx_folder)
        pipeline.load_lora_weights(adapter)
        theirs = model.with_transformer(pipeline.transformer).predict(**given)

    assert result["status"] == "finished" and result["dataset"]["sounds"] == 4
    assert (tmp_path / "run" / "report.html").is_file()
    for name in ("validation/video", "validation/audio_sigma_0.50", "train/audio"):
        assert logged(tmp_path / "run", name), name
    header, keys = header_and_keys(adapter)
    assert header["base_model_version"] == "2.3" and header["loralab.preset"] == "t2av"
    assert "diffusion_model.transformer_blocks.0.audio_to_video_attn.to_q.lora_A.weight" in keys
    assert "reference_downscale_factor" not in header
    for drawn, reloaded, plain in zip(ours, theirs, base, strict=True):
        assert (drawn - plain).abs().max() > 1e-4
        torch.testing.assert_close(drawn, reloaded, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_a_control_adapter_says_how_small_its_references_were_and_has_no_layer_of_sound(
    tiny_ltx_folder: Path, tmp_path: Path
) -> None:
    pairs = save_pairs(tmp_path / "pairs")
    config = clip_config(
        tiny_ltx_folder, pairs, "experiment=ltx23_union_control", "dataset.buckets=64x64x9", "steps=3",
        cache=tmp_path / "cache",
    )  # fmt: skip

    finished(config, tmp_path / "run")

    header, keys = header_and_keys(tmp_path / "run" / "adapter.safetensors")
    assert header["reference_downscale_factor"] == header["reference_spatial_scale_factor"] == "2"
    assert keys and not any("audio" in key for key in keys)


@pytest.mark.slow
def test_without_sound_its_branch_is_not_loaded_and_the_run_is_the_same_bit_for_bit(
    tiny_ltx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips, loads, expect = save_clips(tmp_path / "clips", count=2), [], LtxVideo.expect
    settings = ("objective.mode=t2v", "adapter.targets=attention_mlp", "adapter.dropout=0.3", "ema_decay=0.9")
    preview = (
        "evaluation=video_preview", "evaluation.previews.mode=t2av", "evaluation.previews.num_prompts=1",
        "evaluation.drawing.perturbed_scale=0",
    )  # fmt: skip

    def remembering(model: LtxVideo, **expected: Any) -> None:
        loads.append(expected["has_audio"])
        expect(model, **expected)

    for name, expecting, more in (("lean", remembering, preview), ("whole", lambda _, **__: None, ())):
        monkeypatch.setattr(LtxVideo, "expect", expecting)
        config = clip_config(tiny_ltx_folder, clips, *settings, *more, cache=tmp_path / "cache")
        finished(config, tmp_path / name)

    assert loads == [False, True]  # training, and previews with sound
    with av.open(str(next((tmp_path / "lean" / "previews" / "adapter").glob("*.mp4")))) as file:
        assert file.streams.audio
    assert logged(tmp_path / "lean", "train/loss") == logged(tmp_path / "whole", "train/loss")
    lean, whole = (load_file(tmp_path / name / "adapter.safetensors") for name in ("lean", "whole"))
    assert len(lean) == 20 and lean.keys() == whole.keys()
    assert all(torch.equal(tensor, whole[key]) for key, tensor in lean.items())


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tiny_ltx_folder: Path, tmp_path: Path) -> None:
    clips, whole, cut = save_clips(tmp_path / "clips"), tmp_path / "whole", tmp_path / "cut"
    settings = (
        "objective.mode=i2av", "adapter.dropout=0.3", "ema_decay=0.9", "dataset.caption_dropout=0.3",
        "dataset.validation_fraction=0.3", "run.save_every=3",
    )  # fmt: skip
    finished(clip_config(tiny_ltx_folder, clips, *settings, "steps=6", cache=tmp_path / "cache"), whole)

    finished(clip_config(tiny_ltx_folder, clips, *settings, "steps=3", cache=tmp_path / "cache"), cut)
    config = clip_config(tiny_ltx_folder, clips, *settings, "steps=6", cache=tmp_path / "cache")
    config.run.resume = str(cut)
    finished(config, cut)

    for name in ("train/loss", "train/video", "train/audio", "validation/loss"):
        assert {step: value for step, value in logged(whole, name).items() if step > 3} == {
            step: value for step, value in logged(cut, name).items() if step > 3
        }
    tensors = []
    for folder in (whole, cut):
        with safe_open(folder / "adapter.safetensors", framework="pt") as file:
            tensors.append({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    assert all(torch.equal(tensors[0][key], tensors[1][key]) for key in tensors[0])


@pytest.mark.slow
def test_a_rate_that_is_far_too_high_ends_with_the_last_good_snapshot(
    tiny_ltx_folder: Path, tmp_path: Path
) -> None:
    clips = save_clips(tmp_path / "clips", count=2)
    config = clip_config(
        tiny_ltx_folder, clips, "optimizer.lr=1e30", "safety=off", "steps=6", "run.save_every=1",
        cache=tmp_path / "cache",
    )  # fmt: skip

    with pytest.raises(UserError, match=r"Lower optimizer\.lr"):
        finished(config, tmp_path / "run")

    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "diverged"


@pytest.mark.slow
@pytest.mark.parametrize(
    "memory",
    [
        ("memory.checkpointing=selective",),
        ("memory=bf16", "memory.offload_blocks=1.0", "memory.checkpointing=full", "memory.compile=false"),
        ("memory=int8", "memory.products=exact", "memory.compile=false"),
    ],
)
def test_every_way_of_holding_the_base_trains_it(
    memory: tuple[str, ...], tiny_ltx_folder: Path, tmp_path: Path
) -> None:
    clips = save_clips(tmp_path / "clips", count=2)

    result = finished(
        clip_config(tiny_ltx_folder, clips, *BOTH, *memory, cache=tmp_path / "cache"), tmp_path / "run"
    )

    assert result["status"] == "finished" and result["adapted_modules"] == 28
