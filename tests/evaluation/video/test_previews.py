"""Which clips a run draws: prompts of its own, or clips of its data with what the mode gives of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from tests.evaluation.video.conftest import tiny_ltx_video
from tests.training.clip_runs import clip_config, save_clips, save_pairs

from loralab.data.video.records import ClipCollection
from loralab.errors import UserError
from loralab.evaluation.video import ClipDrawing, ClipPreviews, ClipRequest, ClipSize, DrawnClip


def collected(tmp_path: Path, root: Path, *overrides: str, has_audio: bool = True) -> ClipCollection:
    config = clip_config(tmp_path, root, *overrides, cache=tmp_path / "cache")
    return instantiate(config.dataset).collect(32, has_audio=has_audio)


@pytest.fixture
def clips(tmp_path: Path) -> ClipCollection:
    return collected(tmp_path, save_clips(tmp_path / "clips"))


def requested(
    folder: Path, clips: ClipCollection, *, drawing: ClipDrawing | None = None, **settings: Any
) -> tuple[list[ClipRequest], list[DrawnClip]]:
    return ClipPreviews(**settings).requests(
        tiny_ltx_video(folder),
        shown=clips.train,
        references=clips.references,
        drawing=drawing or ClipDrawing(),
    )


def test_prompts_are_drawn_at_the_checkpoints_size_or_at_what_is_set(
    tiny_ltx_folder: Path, clips: ClipCollection
) -> None:
    requests, truths = requested(
        tiny_ltx_folder, clips, drawing=ClipDrawing(width=96), prompts=["a fox", "an owl"], mode="t2av"
    )

    assert [request.prompt for request in requests] == ["a fox", "an owl"] and truths == []
    assert requests[0].size == ClipSize(width=96, height=32, num_frames=9, fps=12.0) and requests[0].has_audio


@pytest.mark.parametrize(
    ("mode", "has_audio", "given"),
    [
        ("t2v", False, set()), ("i2v", False, {"start"}), ("t2av", True, set()), ("i2av", True, {"start"}),
        ("a2v", True, {"audio"}), ("v2a", True, {"video"}),
    ],
)  # fmt: skip
def test_a_mode_says_what_clips_of_the_data_set_give(
    tiny_ltx_folder: Path, clips: ClipCollection, mode: str, has_audio: bool, given: set[str]
) -> None:
    (request, *others), (truth, *_) = requested(tiny_ltx_folder, clips, mode=mode, num_prompts=2)

    clip = clips.train[0].clip
    assert len(others) == 1 and request.prompt == clips.train[0].prompts[0]
    assert request.has_audio == has_audio
    assert {
        name for name in ("start", "video", "audio", "reference") if getattr(request, name) is not None
    } == given
    assert (request.size.num_frames, request.size.height, request.size.width) == tuple(clip.bucket)
    assert torch.equal(truth.frames, clip.pixels()) and torch.equal(truth.sound, clip.audio())
    if "start" in given:
        assert torch.equal(request.start, truth.frames[:1])


def test_references_of_clips_are_given_at_their_size(tiny_ltx_folder: Path, tmp_path: Path) -> None:
    pairs = save_pairs(tmp_path / "pairs")
    settings = ("dataset=video_jsonl", "dataset.reference_downscale=2", "dataset.buckets=128x64x9")
    clips = collected(tmp_path, pairs, *settings, has_audio=False)

    (request, *_), _ = requested(tiny_ltx_folder, clips)

    assert request.reference.shape == (9, 32, 64, 3)
    with pytest.raises(UserError, match="references fit those"):
        requested(tiny_ltx_folder, clips, drawing=ClipDrawing(width=192))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "t2x"}, "mode=t2x is none of t2v, i2v"),
        ({"prompts": ["a fox"], "mode": "i2v"}, "no frames and no sound to give"),
        ({"prompts": [], "seeds": []}, r"(?s)prompts=\[\] draws nothing.*seeds=\[\] draws nothing"),
    ],
)
def test_previews_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ClipPreviews(**settings)


def test_more_frames_than_a_clip_has_are_refused(tiny_ltx_folder: Path, clips: ClipCollection) -> None:
    with pytest.raises(
        UserError, match="asks for 17 frames at 24 per second, and a clip of the data set has 9 at 24"
    ):
        requested(tiny_ltx_folder, clips, drawing=ClipDrawing(num_frames=17))


@pytest.mark.slow
def test_a_run_leaves_clips_of_base_adapter_and_truth(tiny_ltx_folder: Path, tmp_path: Path) -> None:
    from loralab.run.experiment import run

    config = clip_config(
        tiny_ltx_folder, save_clips(tmp_path / "clips"), "evaluation=video_preview", "objective.mode=i2av",
        "evaluation.previews.num_prompts=1", "evaluation.previews.seeds=[0,1]",
        "evaluation.drawing.perturbed_blocks=[0]", cache=tmp_path / "cache",
    )  # fmt: skip

    result = run(config, root=tmp_path / "run", overrides=[])

    folder = tmp_path / "run" / "previews"
    assert result["preview"] == "previews/grid.png" and (folder / "grid.png").is_file()
    index = json.loads((folder / "index.json").read_text())
    assert index["columns"] == ["base", "adapter", "truth"]
    assert [row["seed"] for row in index["rows"]] == [0, 1]
    assert len(list(folder.glob("*/*.mp4"))) == len(list(folder.glob("*/*.png"))) == 6
