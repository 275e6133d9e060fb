import numpy as np
import pytest

from loralab.data.control import SampledTracks, SplineTrack, Track, TrackStyle, draw_tracks, sample_tracks
from loralab.data.control.preview import contact_sheet
from loralab.errors import UserError

LINE = np.array([[0.2, 0.5], [0.8, 0.5]])
CURVE = np.array([[0.2, 0.7], [0.4, 0.2], [0.8, 0.6]])
LARGE = TrackStyle(canvas=128)
BLACK, RED, GREEN, CYAN, BLUE = (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255)


def drawn(*tracks: Track, num_frames: int, style: TrackStyle = LARGE) -> np.ndarray:
    return draw_tracks(sample_tracks(tracks, num_frames=num_frames), height=64, width=96, style=style)


def heads(video: np.ndarray) -> np.ndarray:
    """The centre (x, y) of the newest dot, pure blue, in each frame."""
    found = [np.argwhere((frame == BLUE).all(axis=-1)).mean(axis=0)[::-1] for frame in video]
    return (np.stack(found) + 0.5) / (96, 64)


def test_the_newest_dot_is_blue_and_where_the_track_is() -> None:
    video = drawn(SplineTrack(CURVE), num_frames=17)

    expected = sample_tracks([SplineTrack(CURVE)], num_frames=17).points[0]
    assert np.abs(heads(video) - expected).max() < 1 / 64


def test_reversed_nodes_draw_the_reversed_motion() -> None:
    forwards, backwards = (drawn(SplineTrack(nodes), num_frames=17) for nodes in (CURVE, CURVE[::-1]))

    assert np.abs(heads(backwards) - heads(forwards)[::-1]).max() < 1 / 64
    assert np.abs(heads(backwards) - heads(forwards)).max() > 0.3


@pytest.mark.parametrize(("age", "colour"), [(0, BLUE), (17, CYAN), (33, GREEN), (50, RED), (51, BLACK)])
def test_a_dot_turns_from_blue_over_cyan_and_green_to_red_in_fifty_frames(
    age: int, colour: tuple[int, int, int]
) -> None:
    seen_once = np.arange(61)[None] == 60 - age

    video = draw_tracks(SampledTracks(np.full((1, 61, 2), 0.5), seen_once), height=64, width=96, style=LARGE)

    assert np.abs(video[60, 32, 48].astype(int) - colour).max() <= 6  # a third of fifty is no whole frame


def test_an_anchor_stays_one_blue_dot_on_black() -> None:
    video = drawn(SplineTrack(CURVE[:1]), num_frames=9)

    assert (video == video[0]).all()
    assert video[..., :2].max() == 0 and video[0, 0, 0].max() == 0
    radius = np.sqrt((video[0, ..., 2] == 255).sum() / np.pi)
    assert radius == pytest.approx(8 / 2, rel=0.1)  # 8 on the canvas, which is twice as large


def test_dots_grow_with_the_video() -> None:
    tracks = sample_tracks([SplineTrack(CURVE[:1])], num_frames=1)

    small, large = (draw_tracks(tracks, height=h, width=h)[0, ..., 2].sum() for h in (270, 540))

    assert large / small == pytest.approx(4, rel=0.1)


def test_hidden_points_leave_no_dot_and_those_outside_no_trace() -> None:
    points = np.array([[[0.5, 0.5]] * 3, [[1.5, 0.5]] * 3, [[-0.2, 0.2]] * 3, [[0.8, -0.3]] * 3])
    visible = np.array([[True, False, False], *[[True, True, True]] * 3])

    video = draw_tracks(SampledTracks(points, visible), height=64, width=96, style=LARGE)

    assert video[0, 32, 48].tolist() == list(BLUE)
    assert 0 < video[2, 32, 48, 1] < 64  # only the dot left two frames ago: a little towards cyan
    assert not video[:, :, 60:].any()


def test_a_newer_dot_lies_over_an_older_one() -> None:
    there_and_back = np.array([[0.3, 0.5], [0.7, 0.5], [0.3, 0.5]])

    video = drawn(SplineTrack(there_and_back), num_frames=41)

    assert video[40, 32, round(0.3 * 96)].tolist() == list(BLUE)


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ({}, r"canvas=1080 for a video of 96x64 .* at most 1024"),
        ({"canvas": 4}, "canvas=4 must be"),
        ({"trail": 0}, "trail=0"),
    ],
)
def test_dots_that_would_be_lost_are_refused(style: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        drawn(SplineTrack(LINE), num_frames=2, style=TrackStyle(**style))


@pytest.mark.parametrize(("num_frames", "size"), [(1, (412, 279)), (2, (818, 279)), (17, (1224, 552))])
def test_the_preview_shows_up_to_six_frames_and_the_whole_curve(
    num_frames: int, size: tuple[int, int]
) -> None:
    tracks = sample_tracks([SplineTrack(LINE)], num_frames=num_frames)
    video = draw_tracks(tracks, height=64, width=96, style=LARGE)

    sheet = contact_sheet(video, tracks)

    assert sheet.size == size
    if num_frames > 1:
        assert sheet.getpixel((6 + 240, 6 + 133)) == (150, 150, 150)  # frame 0: the way that is still to go
