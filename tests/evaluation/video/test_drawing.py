"""Settings of clips: what a checkpoint's own are, and what is refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.evaluation.video.conftest import DISTILLED, PLAIN, tiny_ltx_video

from loralab.denoiser import ModalityGuidance
from loralab.errors import UserError
from loralab.evaluation.video import ClipDrawing
from loralab.families.ltx_video import LtxVideo


def distilled(folder: Path) -> LtxVideo:
    return tiny_ltx_video(folder, variant="distilled", **(PLAIN | {"num_steps": 8, "sigmas": DISTILLED}))


def test_a_base_is_guided_as_its_checkpoint_says_and_a_setting_changes_its_part_alone(
    tiny_ltx_folder: Path,
) -> None:
    model = tiny_ltx_video(tiny_ltx_folder)
    drawing = ClipDrawing(audio_guidance_scale=5.0, perturbed_scale=0.0)

    video, audio = drawing.guidances(model)

    assert ClipDrawing().guidances(model) == (model.sampling.video, model.sampling.audio)
    assert video == ModalityGuidance(scale=3.0, perturbed=0.0, modality=3.0, rescale=0.7)
    assert audio == ModalityGuidance(scale=5.0, perturbed=0.0, modality=3.0, rescale=0.7)
    drawing.require_drawable(model)


def test_a_distilled_checkpoint_has_its_own_sigmas_and_no_guidance(tiny_ltx_folder: Path) -> None:
    model = distilled(tiny_ltx_folder)
    drawing = ClipDrawing()

    steps = drawing.steps(model, drawing.size(model))

    drawing.require_drawable(model)
    assert steps.sigmas.tolist() == pytest.approx(DISTILLED)
    assert steps.video == steps.audio == ModalityGuidance()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 70, "num_frames": 12}, r"(?s)width 70 is no multiple of 32; take 64 or 96.*12 frames.*take 9 or 17"),
        ({"perturbed_blocks": [1]}, r"perturbed_blocks=\[1\] names no block.*1 blocks"),
        ({"perturbed_blocks": []}, r"perturbed_blocks=\[\] names no block"),
    ],
)  # fmt: skip
def test_what_a_base_cannot_draw_is_refused(
    tiny_ltx_folder: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        ClipDrawing(**settings).require_drawable(tiny_ltx_video(tiny_ltx_folder))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"video_guidance_scale": 3.0}, r"video_guidance_scale=3.0: ltx23 is distilled .* without guidance"),
        ({"perturbed_scale": 1.0}, r"perturbed_scale=1.0: ltx23 is distilled"),
        ({"num_steps": 30}, r"num_steps=30: this checkpoint is distilled to 8"),
        ({"negative_prompt": "blurry"}, r"negative_prompt has no effect"),
    ],
)
def test_what_a_distilled_checkpoint_cannot_draw_is_refused(
    tiny_ltx_folder: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        ClipDrawing(**settings).require_drawable(distilled(tiny_ltx_folder))


def test_impossible_settings_are_listed_together() -> None:
    with pytest.raises(UserError, match=r"(?s)num_steps=0.*fps=0.*rescale=2"):
        ClipDrawing(num_steps=0, fps=0, rescale=2)
