"""From clips to batches: what is encoded once, what is refused, and which clips come together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.data.video.files import write_level, write_video
from torch import Tensor

from loralab.data.dataset import Regularization
from loralab.data.video import (
    ClipBatch,
    EncodedClips,
    JsonlSource,
    PromptEmbeds,
    VideoDataset,
    VideoFolderSource,
)
from loralab.errors import UserError


class Encoders:
    """Takes means over what the real VAEs compress, and counts what it is asked for."""

    base_version, prompt_widths = "2.3", (3, 2)

    def __init__(self) -> None:
        self.calls = {"prompts": 0, "videos": 0, "sounds": 0}

    def prompt_fingerprint(self) -> str:
        return "p" * 64

    def video_fingerprint(self) -> str:
        return "v" * 64

    def audio_fingerprint(self) -> str:
        return "a" * 64

    def encode_prompts(self, prompts: Sequence[str]) -> list[PromptEmbeds]:
        self.calls["prompts"] += len(prompts)
        numbers = [float(int(hashlib.sha256(prompt.encode()).hexdigest()[:4], 16)) for prompt in prompts]
        return [PromptEmbeds(torch.full((4, 3), number), torch.full((4, 2), -number)) for number in numbers]

    def encode_video(self, pixels: Tensor) -> Tensor:
        self.calls["videos"] += 1
        small = torch.nn.functional.avg_pool2d(pixels.flatten(0, 2)[:, None], 32)
        small = small.reshape(*pixels.shape[:3], *small.shape[-2:])
        return torch.cat([small[:, :, :1], small[:, :, 1:].unflatten(2, (-1, 8)).mean(3)], dim=2)

    def encode_audio(self, waveform: Tensor) -> Tensor:
        self.calls["sounds"] += 1
        return torch.full(self.audio_latents_shape(seconds=waveform.shape[1] / 16_000), float(waveform.std()))

    def video_latents_shape(self, *, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        return 3, (frames - 1) // 8 + 1, height // 32, width // 32

    def audio_latents_shape(self, *, seconds: float) -> tuple[int, int, int]:
        return 2, -(-(1 + round(seconds * 16_000) // 160) // 4), 4

    def release(self, component: str) -> None:
        pass


def dataset(root: Path, **settings: Any) -> VideoDataset:
    source = JsonlSource() if root.suffix == ".jsonl" else VideoFolderSource()
    defaults: dict[str, Any] = {"buckets": "96x64x9;64x64x9", "ram_cache_gib": 0.0}
    cache = str(root.parent / "cache")
    return VideoDataset(root=str(root), source=source, cache_root=cache, **{**defaults, **settings})


def encoded(made: VideoDataset, *, has_audio: bool = False, encoders: Encoders | None = None) -> EncodedClips:
    return made.encode(made.collect(32, has_audio=has_audio), encoders or Encoders())


def shown(clips: EncodedClips, count: int, *, size: int = 1, seed: int = 0) -> list[ClipBatch]:
    batches = list(clips.loader(micro_batch_size=size, num_micro_steps=count, seed=seed))
    assert all(isinstance(batch, ClipBatch) for batch in batches)
    return batches


def listed(folder: Path, rows: Sequence[dict[str, str]]) -> Path:
    path = folder / "clips.jsonl"
    path.write_text("".join(json.dumps({"caption": "a field", **row}) + "\n" for row in rows))
    return path


def test_clips_of_one_shape_and_length_of_sound_come_together_and_every_clip_comes(tmp_path: Path) -> None:
    for name, rate, width in (("a", 24, 96), ("b", 24, 96), ("c", 30, 96), ("d", 24, 64)):
        write_video(tmp_path / "clips" / f"{name}.mp4", rate=rate, width=width, frames=12, sound="stereo")

    clips = encoded(dataset(tmp_path / "clips"), has_audio=True)
    batches = shown(clips, 24, size=2)

    assert all(len(set(batch.fps.tolist())) == 1 for batch in batches)
    assert {tuple(batch.video.shape[1:]) for batch in batches} == {(3, 2, 2, 3), (3, 2, 2, 2)}
    assert {batch.audio.shape[2] for batch in batches} == {10, 8}
    assert {key for batch in batches for key in batch.keys} == {r.key for r in clips.collection.train}
    assert clips.latents_shapes()[0] == (3, 2, 2, 3)


def test_a_second_run_encodes_nothing_and_any_step_can_be_asked_for_alone(tmp_path: Path) -> None:
    for name in "abc":
        write_video(tmp_path / "clips" / f"{name}.mp4", frames=ord(name) - 80, caption=f"clip {name}")
    made, again = dataset(tmp_path / "clips", caption_dropout=0.3), Encoders()
    first = shown(encoded(made), 12)

    clips = encoded(made, encoders=again)
    loader = clips.loader(micro_batch_size=1, num_micro_steps=12, seed=0)
    loader.load_state_dict({"position": 7})
    resumed = list(loader)

    assert again.calls == {"prompts": 0, "videos": 0, "sounds": 0}
    assert [batch.index for batch in resumed] == [7, 8, 9, 10, 11]
    for before, after in zip(first[7:], resumed, strict=True):
        assert before.keys == after.keys and before.captions == after.captions
        assert torch.equal(before.video, after.video)
        assert torch.equal(before.video_embeds, after.video_embeds)
        assert torch.equal(after.audio_embeds[..., 0], -after.video_embeds[..., 0])


def test_another_rate_or_bucket_is_encoded_anew(tmp_path: Path) -> None:
    write_video(tmp_path / "clips" / "a.mp4", frames=30)
    encoders = Encoders()

    for settings in ({}, {"fps": "resample:12"}, {"buckets": "64x64x9"}, {}):
        encoded(dataset(tmp_path / "clips", **settings), encoders=encoders)

    assert encoders.calls["videos"] == 3


def test_a_file_that_changed_after_it_was_checked_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clips" / "a.mp4", frames=12)
    made = dataset(tmp_path / "clips")
    collection = made.collect(32)

    write_video(path, frames=14)

    with pytest.raises(UserError, match=r"a\.mp4 was changed while the run was starting"):
        made.encode(collection, Encoders())


def test_references_are_files_tracks_or_what_an_annotator_draws_and_one_clip_may_have_several(
    tmp_path: Path,
) -> None:
    write_video(tmp_path / "a.mp4", width=128, frames=17)
    write_video(tmp_path / "control.mp4", width=128, frames=17, caption=None)
    (tmp_path / "tracks.json").write_text(json.dumps({"tracks": [{"nodes": [[0.1, 0.5], [0.9, 0.5]]}]}))
    rows = [
        {"video": "a.mp4", "reference_video": "control.mp4"},
        {"video": "a.mp4", "tracks": "tracks.json"},
        {"video": "a.mp4"},
    ]
    made = dataset(
        listed(tmp_path, rows), buckets="128x64x17", reference_downscale=2, reference_stride=2,
        annotator="tests.data.video.test_dataset:white", track_canvas=128,
    )  # fmt: skip

    clips = encoded(made)
    batches = {batch.keys[0]: batch for batch in shown(clips, 3)}

    assert clips.reference_factors == (2, 2)
    of_file, of_tracks, of_annotator = (batches[record.key].reference for record in clips.collection.train)
    assert all(reference.shape == (1, 3, 2, 1, 2) for reference in (of_file, of_tracks, of_annotator))
    assert (of_annotator == 1).all() and of_tracks.mean() < -0.5 and of_file.mean() > of_tracks.mean()
    assert clips.counts.latents == 4  # the clip itself is encoded once


def white(frames: np.ndarray) -> np.ndarray:
    return np.full_like(frames, 255)


def test_masks_come_with_the_clips_that_have_them(tmp_path: Path) -> None:
    for name in "ab":
        write_video(tmp_path / f"{name}.mp4", frames=9, sound="mono", caption=None)
    write_video(tmp_path / "mask.mp4", frames=9, caption=None)
    write_level(tmp_path / "level.wav", begin_s=0.2, end_s=1.0)
    rows = [{"video": "a.mp4", "video_mask": "mask.mp4", "audio_mask": "level.wav"}, {"video": "b.mp4"}]

    clips = encoded(dataset(listed(tmp_path, rows), buckets="96x64x9"), has_audio=True)
    (batch,) = shown(clips, 1, size=2)

    masked = [record.clip.video_mask is not None for record in clips.collection.train]
    place = batch.keys.index(clips.collection.train[masked.index(True)].key)
    assert batch.video_given.shape == (2, 2, 2, 3) and batch.audio_given.shape == (2, 10)
    assert batch.video_given[place].max() > 0 and batch.audio_given[place, -1] > 0.5
    assert (batch.video_given[1 - place] == 0).all() and (batch.audio_given[1 - place] == 0).all()


def test_regularisation_clips_have_no_trigger_and_validation_never_learns(tmp_path: Path) -> None:
    for part, count in (("clips", 4), ("others", 2)):
        for index in range(count):
            write_video(tmp_path / part / f"{index}.mp4", frames=10 + index + 20 * (part == "others"))
    made = dataset(
        tmp_path / "clips", trigger="sks", validation_fraction=0.3,
        regularization=Regularization(root=str(tmp_path / "others"), weight=0.5, ratio=0.5),
    )  # fmt: skip

    clips = encoded(made)
    batches, measured = shown(clips, 12), clips.validation_batches(2)

    weights = [float(batch.weight[0]) for batch in batches]
    assert weights.count(0.5) == 6
    assert {batch.captions[0] for batch in batches if batch.weight[0] == 1} == {
        "sks, a grey field that changes"
    }
    assert {batch.captions[0] for batch in batches if batch.weight[0] != 1} == {"a grey field that changes"}
    kept = {key for batch in measured for key in batch.keys}
    assert kept and not kept & {key for batch in batches for key in batch.keys}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"buckets": "100x64x9"}, "dataset.buckets=100x64x9: its width 100 is no multiple of 32"),
        ({"reference_downscale": 2}, "buckets=96x64x9: its width 96 is no multiple of 64"),
        (
            {"buckets": "64x64x9", "reference_downscale": 2},
            "dataset.reference_downscale and .reference_stride have no effect",
        ),
        ({"audio": "skip"}, "dataset.audio=skip has no effect: the objective has no sound"),
        ({"track_canvas": 64}, "dataset.track_canvas=64 has no effect: no clip has tracks"),
        ({"repeats": {"z*": 2}}, "dataset.repeats: no clip's name matches 'z*'"),
        ({"validation_fraction": 0.5}, "needs two different videos"),
        ({"trigger_policy": "replace"}, "has no effect without dataset.trigger"),
        ({"buckets": "96x64x17"}, "1 clips listed: 0 accepted, 0 left out, 1 rejected (1 too short)"),
    ],
)
def test_what_cannot_be_is_named_as_it_was_typed(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write_video(tmp_path / "clips" / "a.mp4", frames=9)

    with pytest.raises(UserError) as caught:
        dataset(tmp_path / "clips", **settings).collect(32)

    assert message in str(caught.value)


def test_a_reference_is_wanted_of_all_clips_or_of_none(tmp_path: Path) -> None:
    for name in ("a", "b", "control"):
        write_video(tmp_path / f"{name}.mp4", frames=9, caption=None)
    rows = [{"video": "a.mp4", "reference_video": "control.mp4"}, {"video": "b.mp4"}]

    with pytest.raises(UserError, match=r"1 of 2 clips have no reference, for example b\.mp4"):
        dataset(listed(tmp_path, rows)).collect(32)
