from __future__ import annotations

from fractions import Fraction

import pytest

from loralab.data.video.contents import Probe
from loralab.data.video.policies import FpsPolicy, nearest, select
from loralab.errors import UserError


def video(times: list[float], *, duration: float, fps: float, constant: bool = True) -> Probe:
    return Probe(
        width=64,
        height=64,
        times=tuple(times),
        duration=duration,
        start=0.0,
        fps=fps,
        constant=constant,
        sound=None,
    )


def regular(frames: int, fps: float) -> Probe:
    return video([k / fps for k in range(frames)], duration=frames / fps, fps=fps)


def policy(text: str) -> FpsPolicy:
    return FpsPolicy.parse(text, key="fps")


def test_policies_are_read_exactly() -> None:
    assert policy("keep").rate is None
    assert policy("resample:24").rate == 24
    assert policy("resample:30000/1001").rate == Fraction(30_000, 1001)
    assert str(policy("resample:29.97")) == "resample:2997/100"


@pytest.mark.parametrize(
    "text", ["native", "24", "resample", "resample:0", "resample:-1", "resample:1/0", ""]
)
def test_other_policies_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"fps={text} must be keep, or resample:"):
        policy(text)


def test_keep_takes_the_first_frames_at_the_clips_own_rate() -> None:
    selection = select(regular(120, 30_000 / 1001), policy("keep"), frames=89)

    assert selection.indices == tuple(range(89))
    assert selection.fps == 30_000 / 1001


def test_keep_of_a_variable_rate_tells_the_mean_of_the_frames_used() -> None:
    probe = video([0, 0.1, 0.2, 0.9, 1.6], duration=2.3, fps=2.5, constant=False)

    assert select(probe, policy("keep"), frames=3).fps == pytest.approx(10)
    assert select(probe, policy("keep"), frames=5).fps == pytest.approx(2.5)


def test_resampling_to_half_the_rate_takes_every_second_frame() -> None:
    selection = select(regular(60, 60), policy("resample:30"), frames=25)

    assert selection.indices == tuple(range(0, 50, 2))
    assert selection.fps == 30


def test_resampling_29_97_to_30_keeps_frames_in_step() -> None:
    selection = select(regular(90, 30_000 / 1001), policy("resample:30"), frames=89)

    assert selection.indices == tuple(range(89))


def test_resampling_goes_by_the_times_of_a_variable_rate() -> None:
    probe = video([0, 0.1, 0.5, 0.6], duration=1.0, fps=5, constant=False)

    selection = select(probe, policy("resample:10"), frames=9)

    assert selection.indices == (0, 1, 1, 1, 2, 2, 3, 3, 3)


def test_the_nearest_frame_is_taken_and_the_earlier_of_two() -> None:
    assert nearest([0.0, 1.0, 2.0], rate=2.0, count=6) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("fps", "frames", "rate", "available"),
    [(30, 90, "24", 72), (24, 72, "30", 90), (30_000 / 1001, 90, "30", 90), (60, 1, "24", 1)],
)
def test_how_many_frames_there_are_follows_from_the_duration(
    fps: float, frames: int, rate: str, available: int
) -> None:
    assert policy(f"resample:{rate}").available(regular(frames, fps)) == available


def test_a_short_clip_starts_over() -> None:
    selection = select(regular(4, 24), policy("keep"), frames=9)

    assert selection.indices == (0, 1, 2, 3, 0, 1, 2, 3, 0)
    assert selection.period == 4
    assert selection.duration == pytest.approx(9 / 24)
