"""Scenes say what they show, stay inside the picture, sound as high as they are, and become files once."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from loralab.data.moving import MovingSource
from loralab.data.moving.concepts import NUM_TRAIN, moving_concept
from loralab.data.moving.controls import HALF, control_frames
from loralab.data.moving.frames import draw_clips
from loralab.data.moving.motion import REACH, motion_of
from loralab.data.moving.scene import ACTIONS, FRAMES, NAMES, SIDE, Scene, draw_scene, is_seen
from loralab.data.moving.sound import SAMPLE_RATE, draw_sounds, height_of, hertz_of
from loralab.data.video import ClipRules, check_clips
from loralab.errors import UserError

UP = Scene(name="fox face", action="moving up right", pace="fast", place=(-1, 1), background="blue")


def test_a_caption_tells_what_it_is_told_to_tell() -> None:
    assert UP.caption == "the fox face, from the bottom left, moving up right fast, blue background"
    assert dataclasses.replace(UP, told=("background",), look="zigzag").caption == (
        "zigzag, the fox face, blue background"
    )


def test_a_row_of_scenes_is_the_same_every_time_and_leaves_out_what_is_held_out() -> None:
    row = [draw_scene(3, index=index) for index in range(300)]

    assert row == [draw_scene(3, index=index) for index in range(300)]
    assert {scene.action for scene in row} == set(ACTIONS)
    assert all(is_seen(scene.name, scene.action) for scene in row)
    unseen = sum(not is_seen(*pair) for pair in itertools.product(NAMES, ACTIONS))
    assert 0.25 < unseen / (len(NAMES) * len(ACTIONS)) < 0.42


def test_no_emoji_leaves_the_picture() -> None:
    concepts = (scene for name in NUM_TRAIN for scene in moving_concept(name).scenes["train"][:48])
    for scene in (*(draw_scene(0, index=index) for index in range(150)), *concepts):
        motion = motion_of(scene)
        room = np.minimum(motion.centres, SIDE - motion.centres).min(1)
        assert (room >= motion.sizes / 2 - 8).all(), scene


def test_an_emoji_goes_where_its_motion_says() -> None:
    cover = draw_clips([UP]).cover[0, 0]

    place = torch.arange(SIDE) + 0.5
    x, y = ((cover * axis).sum((1, 2)) / cover.sum((1, 2)) for axis in (place, place[:, None]))

    assert float(x[-1] - x[0]) == pytest.approx(REACH["fast"], abs=0.3)
    assert float(y[-1] - y[0]) == pytest.approx(-REACH["fast"], abs=0.3)


def test_a_tone_is_as_high_as_the_emoji_and_on_its_side() -> None:
    sound = draw_sounds([UP])[0]
    motion = motion_of(UP)

    for frame in (0, 8, 16):
        start = round(frame * SAMPLE_RATE / 12)
        piece = sound[:, start : start + 800]
        peak = torch.fft.rfft(piece.sum(0) * torch.hann_window(800), n=16_000).abs().argmax()
        due = hertz_of(height_of(UP, motion.centres[frame : frame + 1, 1]))[0]
        assert abs(float(peak) - due) <= 60
    left, right = (sound[channel, :1600].square().mean() for channel in range(2))
    assert left > 3 * right
    assert sound[1, -1600:].square().mean() > 3 * sound[0, -1600:].square().mean()


def test_a_control_shows_where_the_emoji_is() -> None:
    scene = moving_concept("moving_tracks").scenes["train"][0]

    curve = control_frames(scene, "tracks")

    newest = (curve[-1].astype(int) @ [-1, -2, 1]) > 150  # blue
    y, x = np.nonzero(newest)
    assert curve.shape == (FRAMES, HALF, HALF, 3)
    centre = np.array([x.mean(), y.mean()]) * 2
    assert np.abs(centre - motion_of(scene).centres[-3:].mean(0)).max() < 12


def test_a_split_becomes_files_once_and_every_clip_is_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    concept = moving_concept("moving_canny")
    monkeypatch.setitem(concept.scenes, "validation", concept.scenes["validation"][:2])
    source = MovingSource(folder=str(tmp_path))

    listing = source.read("moving_canny/validation", key="dataset.root")
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = source.read("moving_canny/validation", key="dataset.root")
    rules = ClipRules(buckets=f"{SIDE}x{SIDE}x{FRAMES}", reference_downscale=2)
    report = check_clips(listing, rules, show_progress=False)

    assert again == listing
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(report.clips) == 2
    assert report.clips[0].reference_pixels().shape == (FRAMES, HALF, HALF, 3)  # type: ignore[union-attr]
    assert report.clips[0].caption == concept.scenes["validation"][0].caption


def test_a_split_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="known are moving_zigzag/train"):
        MovingSource(folder=str(tmp_path)).read("moving_zigzag/test", key="dataset.root")
    with pytest.raises(UserError, match="there is no such concept"):
        moving_concept("moving_house")
