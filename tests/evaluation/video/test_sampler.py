"""Clips from noise: diffusers' pipelines around the same networks, what is given, what is absent."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.evaluation.video.conftest import GUIDED, GUIDED_SOUND, ltx_model
from tests.evaluation.video.pipeline import call, normalised, pipeline_of, raw

from loralab.data.video.encoders import PromptEmbeds
from loralab.denoiser import ClipReference, ModalityGuidance
from loralab.evaluation.video.known import Known
from loralab.evaluation.video.sampler import ClipLatents, Steps, draw_latents, seeded_clip_noise
from loralab.evaluation.video.size import ClipSize
from loralab.families.ltx_video import LtxVideo
from loralab.families.ltx_video.modulation import own_timesteps

SIZE = ClipSize(width=64, height=32, num_frames=9, fps=12.0)
"""At 12 frames per second the pipeline draws as many sound latents as training sees: 19."""
SEED = 5
CALL = {
    "width": 64, "height": 32, "num_frames": 9, "frame_rate": 12.0, "num_inference_steps": 3, "guidance_scale": 3.0,
    "audio_guidance_scale": 7.0, "stg_scale": 1.0, "audio_stg_scale": 1.0, "modality_scale": 3.0,
    "audio_modality_scale": 3.0, "guidance_rescale": 0.7, "audio_guidance_rescale": 0.7,
    "spatio_temporal_guidance_blocks": [1], "output_type": "latent",
}  # fmt: skip
UNSCALED = {"guidance_rescale": 0.0, "audio_guidance_rescale": 0.0}


@pytest.fixture(scope="module")
def model(tiny_ltx_folder: Path) -> LtxVideo:
    return ltx_model(tiny_ltx_folder)


@pytest.fixture(scope="module")
def prompts(model: LtxVideo) -> dict[str, PromptEmbeds]:
    prompt, negative = model.encode_prompts(["a red fox runs", "dull"])
    return {"prompt": prompt, "negative": negative}


def drawn(
    model: LtxVideo, prompts: dict[str, PromptEmbeds], *, rescale: float = 0.7, **changes: Any
) -> ClipLatents:
    video, audio = (dataclasses.replace(guidance, rescale=rescale) for guidance in (GUIDED, GUIDED_SOUND))
    steps = Steps(
        **{
            "sigmas": model.sampling_sigmas(num_steps=3, num_tokens=4),
            "video": video,
            "audio": audio,
            "perturbed_blocks": (1,),
            **changes.pop("steps", {}),
        }
    )
    settings = {"size": SIZE, "seed": SEED, "has_audio": True, **changes}
    return draw_latents(model, **prompts, steps=steps, **settings)


def largest(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


def test_text_to_video_and_sound_is_the_pipelines_under_all_guidance(
    model: LtxVideo, prompts: dict[str, PromptEmbeds]
) -> None:
    from diffusers import LTX2Pipeline

    ours = drawn(model, prompts)

    pipeline = pipeline_of(model, LTX2Pipeline, prompts["negative"], prompts["prompt"])
    video, audio = normalised(
        pipeline, *call(pipeline, **CALL, generator=torch.Generator().manual_seed(SEED))
    )
    print(f"t2v: video {largest(ours.video, video):.1e}, sound {largest(ours.audio, audio):.1e}")
    assert ours.video.std() > 0.5 and ours.audio.std() > 0.5
    assert largest(ours.video, video) < 1e-4 and largest(ours.audio, audio) < 1e-4


@pytest.mark.parametrize("corrected", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_image_to_video_is_the_pipelines_once_that_modulates_as_the_vendor(
    model: LtxVideo, prompts: dict[str, PromptEmbeds], corrected: bool
) -> None:
    """Without rescaling: diffusers takes the given frame's deviation from a guess of it, the vendor from itself."""
    from diffusers import LTX2ImageToVideoPipeline

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 64, 3), dtype=np.uint8))
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
    start = model.encode_video(pixels) / scaling_factor(model)
    rule = own_timesteps(model.transformer) if corrected else contextlib.nullcontext()

    ours = drawn(model, prompts, rescale=0.0, known=Known(start=start))

    pipeline = pipeline_of(model, LTX2ImageToVideoPipeline, prompts["negative"], prompts["prompt"])
    random = torch.Generator().manual_seed(SEED)
    with rule:
        found = call(pipeline, **(CALL | UNSCALED), image=picture, image_crf=0, generator=random)
    video, audio = normalised(pipeline, *found)
    differences = largest(ours.video, video), largest(ours.audio, audio)
    print(f"i2v, corrected={corrected}: video {differences[0]:.1e}, sound {differences[1]:.1e}")
    assert torch.equal(ours.video[:, :, :1], start)
    assert (max(differences) < 1e-4) == corrected


@pytest.mark.slow
@pytest.mark.parametrize("corrected", [True, False])
def test_a_control_video_of_half_the_sides_is_the_in_context_pipelines(
    model: LtxVideo, prompts: dict[str, PromptEmbeds], corrected: bool
) -> None:
    """At the same sigmas: that pipeline counts the reference's tokens as well when it shifts them."""
    from diffusers.pipelines.ltx2 import LTX2InContextPipeline
    from diffusers.pipelines.ltx2.pipeline_ltx2_ic_lora import LTX2ReferenceCondition

    size = dataclasses.replace(SIZE, height=64)
    noise = seeded_clip_noise(model, size=size, seed=SEED)
    frames = torch.randint(0, 255, (9, 32, 32, 3), dtype=torch.uint8)
    latents = model.encode_video(frames.permute(3, 0, 1, 2)[None].float() / 127.5 - 1) / scaling_factor(model)
    rule = own_timesteps(model.transformer) if corrected else contextlib.nullcontext()

    ours = drawn(
        model, prompts, rescale=0.0, size=size, known=Known(reference=ClipReference(latents=latents, spatial_factor=2)),
        steps={"sigmas": model.sampling_sigmas(num_steps=3, num_tokens=8 + 2)},
    )  # fmt: skip

    pipeline = pipeline_of(model, LTX2InContextPipeline, prompts["negative"], prompts["prompt"])
    seen, heard = raw(pipeline, *noise)
    control = LTX2ReferenceCondition(frames=[Image.fromarray(frame.numpy()) for frame in frames])
    with rule:
        found = call(
            pipeline, **(CALL | UNSCALED | {"height": 64}), reference_conditions=[control], noise_scale=0.0,
            reference_downscale_factor=2, latents=seen, audio_latents=heard,
        )  # fmt: skip
    video, audio = normalised(pipeline, *found)
    differences = largest(ours.video, video), largest(ours.audio, audio)
    print(f"control, corrected={corrected}: video {differences[0]:.1e}, sound {differences[1]:.1e}")
    assert (max(differences) < 1e-4) == corrected


def scaling_factor(model: LtxVideo) -> float:
    """What these two pipelines leave out when they encode: 1 in the published checkpoint, 0.7 here."""
    return model.checkpoint.config("vae")["scaling_factor"]


def quick(model: LtxVideo, prompts: dict[str, PromptEmbeds], **changes: Any) -> ClipLatents:
    """Draws in two unguided steps."""
    off = {"video": ModalityGuidance(), "audio": ModalityGuidance(), "sigmas": torch.tensor([1.0, 0.6, 0.0])}
    return drawn(model, prompts, steps=off, **changes)


def test_what_is_given_stays_and_what_is_drawn_depends_on_it(
    model: LtxVideo, prompts: dict[str, PromptEmbeds]
) -> None:
    torch.manual_seed(1)
    shape = model.video_latents_shape(frames=9, height=32, width=64), model.audio_latents_shape(seconds=0.75)
    video, audio = (torch.randn(1, *size) for size in shape)
    control = ClipReference(latents=torch.randn(1, 8, 2, 1, 1), spatial_factor=2)

    free = quick(model, prompts)
    given_sound, given_video = (
        quick(model, prompts, known=Known(audio=audio)),
        quick(model, prompts, known=Known(video=video)),
    )
    controlled = quick(model, prompts, known=Known(reference=control))

    assert torch.equal(given_sound.audio, audio) and torch.equal(given_video.video, video)
    for other in (given_sound.video, controlled.video):
        assert largest(other, free.video) > 0.05
    assert largest(given_video.audio, free.audio) > 0.05


def test_a_silent_clip_depends_on_no_weight_of_the_audio_branch(
    tiny_ltx_folder: Path, prompts: dict[str, PromptEmbeds]
) -> None:
    model = ltx_model(tiny_ltx_folder)
    before = quick(model, prompts, has_audio=False)

    with torch.no_grad():
        for name, parameter in model.transformer.named_parameters():
            if "audio_" in name and "audio_to_video" not in name:
                parameter.normal_()
    after = quick(model, prompts, has_audio=False)

    assert before.audio is None and torch.equal(before.video, after.video)


def test_a_clip_is_its_seeds_alone_and_leaves_the_global_generator(
    model: LtxVideo, prompts: dict[str, PromptEmbeds]
) -> None:
    state = torch.random.get_rng_state()

    first = quick(model, prompts, has_audio=False)

    assert torch.equal(state, torch.random.get_rng_state())
    torch.randn(7)
    assert torch.equal(first.video, quick(model, prompts, has_audio=False).video)
    assert not torch.equal(first.video, quick(model, prompts, has_audio=False, seed=6).video)


def test_guidance_without_its_negative_prompt_is_refused(
    model: LtxVideo, prompts: dict[str, PromptEmbeds]
) -> None:
    with pytest.raises(ValueError, match="negative prompt"):
        drawn(model, {"prompt": prompts["prompt"], "negative": None})
