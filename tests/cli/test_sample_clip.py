"""`sample` of a video model: one file or a folder, what is given from files, combinations that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.video.files import write_video

from loralab.cli import sample
from loralab.data.video.probe import probe
from loralab.errors import UserError
from loralab.evaluation.video import ClipSize, inputs


def arguments(folder: Path, *more: str) -> list[str]:
    return [
        "model=ltx23", f"model.checkpoint={folder}", "model.max_prompt_length=16", "perturbed_blocks=[0]", "width=64",
        "height=32", "num_steps=1", "accelerator=cpu", "fps=12", "prompt=a red fox, running", *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_one_prompt_becomes_one_file_with_sound_and_a_given_first_frame(
    tiny_ltx_folder: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (80, 40), "red").save(tmp_path / "first, red.png")
    out = tmp_path / "clip.mp4"

    sample.main(
        arguments(tiny_ltx_folder, "num_frames=9", f"image={tmp_path / 'first, red.png'}", f"out={out}")
    )

    found = probe(out)
    assert (found.width, found.height, len(found.times), found.fps) == (64, 32, 9, 12.0)
    assert found.sound is not None


@pytest.mark.slow
def test_sound_for_a_video_goes_beside_it_into_a_folder(tiny_ltx_folder: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "given.mp4", frames=40, rate=24, sound=None)

    sample.main(arguments(tiny_ltx_folder, f"video={video}", "seeds=[0,1]", f"out={tmp_path / 'out'}"))

    for number in (0, 1):
        found = probe(tmp_path / "out" / "base" / f"{number:02d}.mp4")
        assert len(found.times) == 17 and found.sound is not None  # of 20 at 12 frames per second
    assert (tmp_path / "out" / "grid.png").is_file()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["image=a.png", "extend=b.mp4"], "both say how the clip begins"),
        (
            ["video=a.mp4", "audio=b.wav", "sound=false"],
            r"(?s)audio has no effect.*nothing to draw.*contradict",
        ),
        (["reference=a.mp4"], "reference= says nothing to the base alone"),
        (["out=clip.mp4", "seeds=[0,1]"], "out=clip.mp4 is one file, and several clips are asked for"),
        (["guidance_scale=3"], "Could not override 'guidance_scale'"),
        (["width=70"], "70x32x89: its width 70 is no multiple of 32; take 64 or 96"),
        (["image=nowhere.png"], "image=nowhere.png cannot be read as a picture"),
        (["audio=nowhere.wav"], "audio=nowhere.wav is not there"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tiny_ltx_folder: Path, typed: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        sample.main(arguments(tiny_ltx_folder, *typed))


def test_a_given_picture_is_compressed_as_the_vendor_does_and_fitted() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (65, 97, 3), dtype=np.uint8)

    rough, fine = inputs.compressed(pixels, crf=33), inputs.compressed(pixels, crf=1)

    assert rough.shape == fine.shape == (64, 96, 3)
    errors = [np.abs(found.astype(float) - pixels[:64, :96]).mean() for found in (rough, fine)]
    assert errors[0] > errors[1] > 0


def test_a_clip_goes_on_from_the_last_frames_of_a_video_and_a_control_is_smaller(tmp_path: Path) -> None:
    video = write_video(tmp_path / "given.mp4", frames=40, rate=24, width=128, sound=None)
    size = ClipSize(width=128, height=64, num_frames=17, fps=12.0)

    last = inputs.last_frames(video, size, count=9)
    control = inputs.reference_frames(video, size, factors=(2, 2))

    longer = ClipSize(width=128, height=64, num_frames=20, fps=12.0)
    assert (last == inputs.frames_of(video, longer, key="video")[-9:]).all()
    assert control.shape == (9, 32, 64, 3)
    assert inputs.available_frames(video, fps=12.0) == 17
    with pytest.raises(UserError, match="extend_frames=17 must be 8k"):
        inputs.last_frames(video, size, count=17)
