from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tests.data.video.files import (
    PEAK_S,
    VARYING,
    brightness,
    cut,
    damaged,
    trimmed,
    write_sound,
    write_video,
)

from loralab.data.video.contents import UnreadableError
from loralab.data.video.decode import read_frames, read_sound, to_stereo
from loralab.data.video.probe import probe, probe_sound
from loralab.data.video.sizes import SAMPLE_RATE


def greys(path: Path, indices: list[int]) -> list[float]:
    """Mean grey of frames, beside the coloured mark."""
    return [float(frame[frame.shape[0] // 2 :].mean()) for frame in read_frames(path, indices)]


def test_a_probe_knows_size_times_rate_and_sound_without_decoding_all(tmp_path: Path) -> None:
    found = probe(write_video(tmp_path / "a.mp4", frames=33, sound="stereo"))

    assert (found.width, found.height, len(found.times)) == (96, 64, 33)
    assert (found.fps, found.constant, found.duration) == (24.0, True, 33 / 24)
    assert np.allclose(found.times, np.arange(33) / 24)
    assert found.sound is not None and str(found.sound) == "stereo 48000 Hz"
    assert found.sound.duration == pytest.approx(33 / 24, abs=0.03)


def test_frames_are_those_asked_for_and_in_their_order(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")

    assert greys(path, [0, 3, 7, 20]) == pytest.approx([brightness(k) for k in (0, 3, 7, 20)], abs=3)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_29_97_is_a_constant_rate_in_every_container(tmp_path: Path, ending: str) -> None:
    found = probe(write_video(tmp_path / f"a.{ending}", rate=Fraction(30_000, 1001), frames=60))

    assert found.constant
    assert found.fps == pytest.approx(30_000 / 1001, rel=1e-6)
    assert found.duration == pytest.approx(60 * 1001 / 30_000)


def test_a_variable_rate_is_seen_and_its_times_are_kept(tmp_path: Path) -> None:
    found = probe(write_video(tmp_path / "a.mp4", times=VARYING))

    assert not found.constant
    assert found.times == pytest.approx([tick / 600 for tick in VARYING], abs=1e-4)
    assert found.fps == pytest.approx(32 / (VARYING[-1] / 600), rel=1e-3)


@pytest.mark.parametrize(
    ("rotation", "corner"), [(90, "lower left"), (-90, "upper right"), (180, "lower right")]
)
def test_a_video_that_was_filmed_turned_is_shown_upright(tmp_path: Path, rotation: int, corner: str) -> None:
    path = write_video(tmp_path / "a.mp4", rotation=rotation)

    found, frame = probe(path), next(read_frames(path, [0]))

    assert frame.shape[:2] == (found.height, found.width) == ((96, 64) if rotation % 180 else (64, 96))
    row, column = (-8 if "lower" in corner else 8), (-8 if "right" in corner else 8)
    assert frame[row, column, 0] > 200 > 60 > frame[row, column, 1]


def test_oblong_pixels_are_made_square(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", width=64, pixel_aspect=Fraction(3, 2))

    found, frame = probe(path), next(read_frames(path, [0]))

    assert (found.width, found.height) == (96, 64)
    assert frame.shape == (64, 96, 3)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [("a.mp4", "libx264", "yuv444p"), ("a.webm", "libvpx-vp9", "yuv420p")],
)
def test_odd_sides_are_kept(tmp_path: Path, name: str, codec: str, pixel_format: str) -> None:
    path = write_video(tmp_path / name, width=97, height=65, codec=codec, pixel_format=pixel_format, frames=9)

    found, frame = probe(path), next(read_frames(path, [8]))

    assert (found.width, found.height) == (97, 65)
    assert frame.shape == (65, 97, 3)
    assert frame[60].mean() == pytest.approx(brightness(8), abs=4)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_file_that_was_cut_is_named_with_what_can_be_read_of_it(tmp_path: Path, ending: str) -> None:
    whole = write_video(tmp_path / f"whole.{ending}", frames=60, sound="stereo", movflags="faststart")
    torn = cut(whole, share=0.6, to=tmp_path / f"torn.{ending}")

    with pytest.raises(
        UnreadableError, match=r"torn\.\w+ is cut short: 3\d .*frames can be read, 1\.\d\d of 2\.5"
    ):
        probe(torn)


def test_a_file_cut_between_two_frames_is_noticed_too(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", frames=60, movflags="faststart")
    data = whole.read_bytes()
    with av.open(str(whole)) as container:
        ends = [packet.pos + packet.size for packet in container.demux(video=0) if packet.size]
    (tmp_path / "torn.mp4").write_bytes(data[: ends[54]])

    with pytest.raises(UnreadableError, match=r"55 of 60 frames can be read"):
        probe(tmp_path / "torn.mp4")


def test_a_torn_last_packet_is_noticed_where_no_index_tells_how_many_there_were(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", frames=60, movflags="frag_keyframe+empty_moov")
    torn = cut(whole, share=0.9, to=tmp_path / "torn.mp4")

    assert len(probe(whole).times) == 60
    with pytest.raises(UnreadableError, match=r"is cut short: 53 frames can be read"):
        probe(torn)


def test_frames_that_were_trimmed_away_are_not_shown(tmp_path: Path) -> None:
    path = trimmed(write_video(tmp_path / "whole.mp4"), frames=12, to=tmp_path / "trimmed.mp4")

    assert len(probe(path).times) == 33 - 12
    assert greys(path, [0, 20]) == pytest.approx([brightness(12), brightness(32)], abs=3)


def test_without_its_index_nothing_of_a_file_can_be_used_and_the_message_says_so(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4")
    torn = cut(whole, share=0.6, to=tmp_path / "torn.mp4")

    with pytest.raises(UnreadableError, match=r"torn\.mp4 cannot be read.*nothing of it can be used"):
        probe(torn)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("a letter")

    with pytest.raises(UnreadableError, match=r"a\.mp4 cannot be read as video or sound"):
        probe(tmp_path / "a.mp4")
    with pytest.raises(UnreadableError, match=r"b\.wav has no video stream \(it holds: audio\)"):
        probe(write_sound(tmp_path / "b.wav"))
    with pytest.raises(UnreadableError, match="has no sound"):
        probe_sound(write_video(tmp_path / "c.mp4"))


def test_a_file_that_ends_before_the_last_frame_asked_for_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", frames=9)

    with pytest.raises(UnreadableError, match="decodes to 9 frames only; 12 are needed"):
        list(read_frames(path, [0, 11]))


def test_a_video_is_read_up_to_its_damage(tmp_path: Path) -> None:
    path = damaged(write_video(tmp_path / "a.mp4"), frame=12)

    assert greys(path, [0, 5]) == pytest.approx([brightness(0), brightness(5)], abs=3)
    with pytest.raises(UnreadableError, match=r"a\.mp4 is damaged \(.*\): 12 frames of it decode"):
        list(read_frames(path, range(33)))


@pytest.mark.parametrize("sample_rate", [16_000, 44_100, 48_000])
def test_sound_is_resampled_without_delay(tmp_path: Path, sample_rate: int) -> None:
    path = write_video(tmp_path / "a.mkv", sound="stereo", sample_rate=sample_rate, sound_codec="flac")

    sound = read_sound(path, start=0.0, num_samples=SAMPLE_RATE)

    onset = int((sound[1].abs() > 0.05).nonzero()[0])
    assert sound.shape == (2, SAMPLE_RATE)
    assert onset / SAMPLE_RATE == pytest.approx(PEAK_S, abs=0.001)
    assert sound[1, 9_000:15_000].abs().max().item() == pytest.approx(0.2, abs=0.01)
    assert sound[0, 9_000:15_000].abs().max().item() == pytest.approx(0.1, abs=0.01)


def test_sound_that_begins_later_than_the_picture_stays_in_time(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mkv", sound="stereo", sound_codec="flac", sound_start_s=0.25, sound_s=0.8
    )

    sound = read_sound(path, start=0.0, num_samples=2 * SAMPLE_RATE)

    onset = int((sound[1].abs() > 0.05).nonzero()[0])
    assert onset / SAMPLE_RATE == pytest.approx(PEAK_S + 0.25, abs=0.003)
    assert not sound[:, round(1.1 * SAMPLE_RATE) :].any()


def test_sound_can_begin_in_the_middle(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", sound="stereo", sound_codec="flac")

    sound = read_sound(path, start=0.4, num_samples=SAMPLE_RATE // 2)

    assert int((sound[1].abs() > 0.05).nonzero()[0]) / SAMPLE_RATE == pytest.approx(PEAK_S - 0.4, abs=0.003)


def test_mono_is_duplicated_and_unknown_layouts_are_averaged() -> None:
    sound = np.arange(8, dtype=np.float32).reshape(4, 2)

    mono = to_stereo(sound[:1], ["FC"], "mono")
    quad = to_stereo(sound, ["FL", "FR", "BL", "BR"], "quad")

    assert np.array_equal(mono, sound[[0, 0]])
    assert np.array_equal(quad, np.stack([sound.mean(axis=0)] * 2))


@pytest.mark.parametrize(
    ("layout", "channels", "weights"),
    [
        ("5.1", "FL FR FC LFE BL BR", [1, 0, 0.7071, 0, 0.7071, 0]),
        ("5.1(side)", "FL FR FC LFE SL SR", [1, 0, 0.7071, 0, 0.7071, 0]),
        ("7.1", "FL FR FC LFE BL BR SL SR", [1, 0, 0.7071, 0, 0.7071, 0, 0.7071, 0]),
    ],
)
def test_surround_is_mixed_by_the_weights_of_the_standard(
    layout: str, channels: str, weights: list[float]
) -> None:
    names = channels.split()
    left, right = to_stereo(np.eye(len(names), dtype=np.float32), names, layout)

    assert left == pytest.approx(np.array(weights) / sum(weights), abs=1e-4)
    assert left.sum() == pytest.approx(1) and right.sum() == pytest.approx(1)
    assert right[names.index("FR")] == left[names.index("FL")]


def test_the_surround_sound_of_a_file_is_mixed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", sound="5.1", sound_codec="flac")

    sound = read_sound(path, start=0.0, num_samples=SAMPLE_RATE)

    half = 0.5**0.5
    left = (0.1 + half * 0.3 + half * 0.5) / (1 + 2 * half)
    assert sound[0, 9_000:15_000].abs().max().item() == pytest.approx(left, abs=0.01)
