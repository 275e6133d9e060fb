"""From a listing to clips: what is accepted, what is not and why, and what a clip gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.video.files import PEAK_S, brightness, picture, write_level, write_sound, write_video

from loralab.data.video import Clip, ClipEntry, ClipListing, ClipRules, Report, check_clips
from loralab.data.video.fingerprint import (
    audio_fingerprint,
    mask_fingerprint,
    reference_fingerprint,
    video_fingerprint,
)
from loralab.errors import UserError


def entry(video: Path, **files: Path) -> ClipEntry:
    return ClipEntry(video=video, name=video.name, caption="a grey field", **files)


def checked(*entries: ClipEntry, **settings: object) -> Report:
    rules = ClipRules(**{"buckets": "96x64x9", "audio": "absent"} | settings)  # type: ignore[arg-type]
    return check_clips(ClipListing(entries), rules, show_progress=False)


def accepted(entry: ClipEntry, **settings: object) -> Clip:
    report = checked(entry, **settings)
    assert not report.rejections, report.rejections
    return report.clips[0]


def rejected(entry: ClipEntry, **settings: object) -> str:
    report = checked(entry, **settings)
    assert not report.clips
    return f"{report.rejections[0].kind}: {report.rejections[0].reason}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    write_video(root / "a.mp4", frames=17, sound="stereo", sound_codec="aac")
    write_video(root / "half.mp4", frames=17, width=48, height=32)
    write_video(root / "slow.mp4", frames=17, rate=12)
    write_video(root / "silent.mp4", frames=17)
    write_video(root / "short.mp4", frames=5, sound="stereo")
    Image.fromarray(picture(2, 96, 64)).save(root / "still.png")
    mask = np.zeros((64, 96), dtype=np.uint8)
    mask[:32, :64] = 255
    Image.fromarray(mask).save(root / "mask.png")
    (root / "tracks.json").write_text("[")
    return root


def greys(pixels: torch.Tensor) -> list[float]:
    return pixels[:, 40:].float().mean(dim=(1, 2, 3)).tolist()


def test_a_clip_gives_pixels_rate_sound_and_content_hash(folder: Path) -> None:
    clip = accepted(entry(folder / "a.mp4"), audio="require", buckets="96x64x17")

    pixels, sound = clip.pixels(), clip.audio()

    assert pixels.shape == (17, 64, 96, 3) and pixels.dtype == torch.uint8
    assert greys(pixels) == pytest.approx([brightness(k) for k in range(17)], abs=3)
    assert clip.fps == 24 and len(clip.key) == 64
    assert sound is not None and sound.shape == (2, round(17 / 24 * 16_000))
    assert int((sound[1].abs() > 0.1).nonzero()[0]) / 16_000 == pytest.approx(PEAK_S, abs=0.01)


def test_resampling_changes_frames_rate_and_length_of_sound(folder: Path) -> None:
    clip = accepted(entry(folder / "slow.mp4"), fps="resample:8")

    assert clip.fps == 8
    assert greys(clip.pixels()) == pytest.approx(
        [brightness(k) for k in (0, 1, 3, 4, 6, 7, 9, 10, 12)], abs=3
    )
    faster = accepted(entry(folder / "a.mp4"), fps="resample:12", buckets="96x64x1", audio="require").audio()
    assert faster is not None and faster.shape == (2, round(16_000 / 12))


def test_a_picture_is_a_clip_of_one_frame_at_rate_1(folder: Path) -> None:
    clip = accepted(entry(folder / "still.png"), buckets="96x64x9;96x64x1")

    assert (str(clip.bucket), clip.fps) == ("96x64x1", 1.0)
    assert greys(clip.pixels()) == [brightness(2)]


def test_a_video_never_loses_its_motion_to_a_bucket_for_pictures(folder: Path) -> None:
    buckets = "96x64x1;64x64x9"

    assert str(accepted(entry(folder / "a.mp4"), buckets=buckets).bucket) == "64x64x9"
    assert rejected(entry(folder / "short.mp4"), buckets=buckets).startswith("too short: has 5 frames, 9")


def test_a_short_clip_is_an_error_left_out_or_starts_over_with_its_sound(folder: Path) -> None:
    short = entry(folder / "short.mp4")

    assert rejected(short).startswith("too short: has 5 frames, 9 are needed: set too_short=skip or loop")
    left_out = checked(short, too_short="skip")
    assert left_out.rejections[0].asked_for
    loud = write_level(folder / "late.wav", begin_s=0.1, end_s=0.5)
    looped = accepted(entry(folder / "short.mp4", audio=loud), too_short="loop", audio="require")
    sound = looped.audio()
    assert greys(looped.pixels()) == pytest.approx([brightness(k % 5) for k in range(9)], abs=3)
    assert sound is not None and sound.shape == (2, 6000)
    assert torch.equal(sound[0] > 0.5, torch.arange(6000) % 3333 >= 1600)


def test_a_still_picture_is_never_looped(folder: Path) -> None:
    assert "add a bucket of one frame to buckets" in rejected(entry(folder / "still.png"), too_short="loop")


def test_a_clip_without_sound_is_an_error_left_out_or_welcome(folder: Path) -> None:
    silent = entry(folder / "silent.mp4")

    assert rejected(silent, audio="require").startswith("no sound: has no sound: set audio=skip")
    assert checked(silent, audio="skip").rejections[0].asked_for
    assert accepted(silent, audio="absent").audio() is None
    assert accepted(entry(folder / "a.mp4"), audio="absent").audio() is None


def test_sound_of_a_file_of_its_own_takes_the_place_of_the_videos(folder: Path) -> None:
    path = write_sound(folder / "own.wav", seconds=0.55)

    sound = accepted(entry(folder / "silent.mp4", audio=path), audio="require", buckets="96x64x17").audio()

    assert sound is not None and sound.shape == (2, round(17 / 24 * 16_000))
    assert int((sound[1].abs() > 0.1).nonzero()[0]) / 16_000 == pytest.approx(PEAK_S, abs=0.001)
    assert not sound[:, 8_800:].any()


def test_a_reference_is_smaller_and_keeps_one_frame_in_so_many(folder: Path) -> None:
    clip = accepted(
        entry(folder / "a.mp4", reference_video=folder / "half.mp4"),
        buckets="128x64x17",
        reference_downscale=2,
        reference_stride=2,
    )

    pixels = clip.reference_pixels()

    assert pixels is not None and pixels.shape == (9, 32, 64, 3)
    assert pixels[:, 20:].float().mean(dim=(1, 2, 3)).tolist() == pytest.approx(
        [brightness(k) for k in (0, *range(1, 17, 2))], abs=4
    )


def test_a_reference_that_does_not_belong_is_refused(folder: Path, tmp_path: Path) -> None:
    wide = write_video(tmp_path / "wide.mp4", width=128, frames=17)

    assert "its reference has 12 fps, it has 24" in rejected(
        entry(folder / "a.mp4", reference_video=folder / "slow.mp4")
    )
    assert "its reference has 5 frames, 9 are needed" in rejected(
        entry(folder / "a.mp4", reference_video=folder / "short.mp4")
    )
    assert "its reference has another shape: 128x64, the clip is 96x64" in rejected(
        entry(folder / "a.mp4", reference_video=wide)
    )
    assert rejected(entry(folder / "a.mp4", tracks=folder / "tracks.json")).startswith("tracks: its tracks")
    assert accepted(
        entry(folder / "a.mp4", reference_video=folder / "slow.mp4"), fps="resample:12", buckets="96x64x1"
    )


def test_masks_give_shares_of_latents(folder: Path) -> None:
    loud = write_level(folder / "loud.wav", begin_s=0.13, end_s=0.29)
    clip = accepted(entry(folder / "a.mp4", video_mask=folder / "mask.png", audio_mask=loud), audio="require")

    video, audio = clip.video_mask_latents(), clip.audio_mask_latents(10)

    assert video is not None and torch.equal(video, torch.tensor([[1.0, 1, 0], [0, 0, 0]]).expand(2, 2, 3))
    assert audio is not None and audio == pytest.approx([0, 0, 0, 0, 1, 1, 1, 1, 0, 0], abs=1e-3)


def test_every_listed_clip_has_a_line_and_the_counts_add_up(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_text("a letter")
    names = ("a.mp4", "silent.mp4", "short.mp4")
    entries = [entry(folder / name) for name in names] + [
        entry(broken),
        ClipEntry(video=broken, name="x", caption=None),
    ]

    report = checked(*entries, audio="skip")
    lines = list(report.lines())

    assert report.counts() == (
        "5 clips listed: 1 accepted, 1 left out (1 no sound), 3 rejected (1 no caption, 1 too short, 1 unreadable)"
    )
    assert lines[0] == (
        "accepted  a.mp4: 96x64, 17 frames at 24 fps (0.71 s), stereo 48000 Hz -> 96x64x9 at 24 fps (0.38 s); "
        "the last 0.33 s are not used"
    )
    assert [line.split(":")[0] for line in lines[1:5]] == [
        "left out  silent.mp4", "rejected  short.mp4", "rejected  broken.mp4", "rejected  x",
    ]  # fmt: skip
    assert "buckets: 96x64x9: 1" in lines
    with pytest.raises(UserError, match="3 of 5 clips cannot be used"):
        report.stop_at_mistakes()
    with pytest.raises(UserError, match="no clip is left"):
        checked(entry(folder / "silent.mp4"), audio="skip").stop_at_mistakes()


def test_what_is_worth_a_second_look_is_noted(folder: Path) -> None:
    report = checked(entry(folder / "a.mp4"), entry(folder / "slow.mp4"), entry(folder / "slow.mp4"))

    notes = "\n".join(line for line in report.lines() if line.startswith("note"))

    assert "clips differ in frames per second (2 at 12, 1 at 24); fps=resample:<n> makes them equal" in notes
    assert "the same video is there more than once: slow.mp4, slow.mp4" in notes
    assert "3 clips; guides by others speak of 10 to 50" in notes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"buckets": "96x64x10"}, "10 frames are not 8k"),
        ({"fps": "24"}, "fps=24 must be keep"),
        ({"too_short": "pad"}, "too_short=pad is not one of error, skip, loop"),
        ({"audio": "yes"}, "audio=yes is not one of require, skip, absent"),
        ({"reference_downscale": 0}, "reference_downscale=0 is below 1"),
        ({"reference_downscale": 2}, "its width 96 is no multiple of 64"),
        ({"reference_stride": 3}, "reference_stride=3 does not divide 9 frames"),
        ({"fps": "x", "prefix": "dataset."}, "dataset.fps=x must be keep"),
    ],
)
def test_rules_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ClipRules(**{"buckets": "96x64x9"} | settings)  # type: ignore[arg-type]


def test_latents_are_made_anew_when_anything_they_depend_on_changes(folder: Path) -> None:
    files = {"reference_video": folder / "half.mp4", "video_mask": folder / "mask.png"}
    clip = accepted(entry(folder / "a.mp4", **files), audio="require")
    changed = [
        accepted(entry(folder / "silent.mp4", **files)),
        accepted(entry(folder / "a.mp4", **files), buckets="96x64x17"),
        accepted(entry(folder / "a.mp4", **files), buckets="64x64x9"),
        accepted(entry(folder / "a.mp4", **files), fps="resample:24"),
    ]

    videos = [video_fingerprint(each, base_version="2.3") for each in (clip, *changed)]
    references = [
        reference_fingerprint(each, base_version="2.3", annotator="canny-100-200")
        for each in (clip, *changed)
    ]

    assert len({*videos, video_fingerprint(clip, base_version="2.0")}) == 6
    assert len({*references, reference_fingerprint(clip, base_version="2.3", annotator="canny-92-200")}) == 6
    assert reference_fingerprint(clip, base_version="2.3") not in references
    assert audio_fingerprint(clip, base_version="2.3") != audio_fingerprint(clip, base_version="2.0")
    assert audio_fingerprint(changed[0], base_version="2.3") is None
    assert mask_fingerprint(clip) != mask_fingerprint(changed[1])
    assert mask_fingerprint(dataclasses.replace(clip, video_mask=None)) is None


def test_a_file_that_is_equal_elsewhere_keeps_its_latents(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes((folder / "a.mp4").read_bytes())

    prints = {
        video_fingerprint(accepted(entry(path)), base_version="2.3") for path in (folder / "a.mp4", copy)
    }

    assert len(prints) == 1
