import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loralab.data.control import PointTrack, SplineTrack, parse_tracks, read_tracks, sample_tracks
from loralab.data.control.splines import sample_spline
from loralab.errors import UserError

NODES = np.array([[0.1, 0.8], [0.3, 0.2], [0.6, 0.7], [0.9, 0.4]])


def test_a_curve_passes_its_nodes_at_equal_times() -> None:
    sampled = sample_spline(NODES, num_frames=49)

    assert np.allclose(sampled[[0, 16, 32, 48]], NODES)


def test_between_nodes_the_curve_is_catmull_roms() -> None:
    a, b, c, d = NODES
    sampled = sample_spline(NODES, num_frames=7)

    assert np.allclose(sampled[3], (-a + 9 * b + 9 * c - d) / 16)  # q(1/2) of the formula
    assert np.allclose(sampled[1], (8 * a + 9 * b - c) / 16)  # the first node is its own neighbour
    assert np.allclose(sampled[5], (8 * d + 9 * c - b) / 16)


def test_reversed_nodes_are_the_reversed_motion() -> None:
    assert np.allclose(sample_spline(NODES[::-1], num_frames=33), sample_spline(NODES, num_frames=33)[::-1])


def test_two_nodes_are_a_line_at_constant_speed() -> None:
    sampled = sample_spline(NODES[:2], num_frames=9)

    assert np.allclose(np.diff(sampled, axis=0), (NODES[1] - NODES[0]) / 8)


@pytest.mark.parametrize("num_frames", [1, 9])
def test_one_node_is_an_anchor(num_frames: int) -> None:
    tracks = sample_tracks([SplineTrack(NODES[:1])], num_frames=num_frames)

    assert np.array_equal(tracks.points[0], np.repeat(NODES[:1], num_frames, axis=0))
    assert tracks.visible.all()


def test_curves_are_read_as_written(tmp_path: Path) -> None:
    file = tmp_path / "tracks.json"
    file.write_text(json.dumps({"tracks": [{"nodes": NODES.tolist()}, {"nodes": [[-1, 2]]}]}))

    curve, anchor = read_tracks(file)

    assert isinstance(curve, SplineTrack) and np.array_equal(curve.nodes, NODES)
    assert isinstance(anchor, SplineTrack) and np.array_equal(anchor.nodes, [[-1, 2]])


def tracked(**changes: Any) -> dict[str, Any]:
    points = [[[64, 32], [0, 16]], [[32, 32], [10**6, -5]], [[128, 64], [0, 0]]]
    visible = [[True, True], [True, False], [True, True]]
    return {"width": 128, "height": 64, "points": points, "visible": visible, **changes}


def test_a_trackers_points_become_shares_and_keep_what_is_hidden() -> None:
    tracks = parse_tracks(tracked(), source="tracked.json")

    sampled = sample_tracks(tracks, num_frames=2)

    assert np.allclose(sampled.points[0], [[0.5, 0.5], [0.25, 0.5]])
    assert sampled.visible.tolist() == [[True, True], [True, False]]


def test_no_more_frames_than_were_tracked() -> None:
    track = PointTrack(NODES, np.ones(4, dtype=bool))

    with pytest.raises(UserError, match=r"frames=9 is more than the 4 .*frames=4"):
        sample_tracks([track], num_frames=9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], r"there is no object, where either"),
        ({"tracks": [{"nodes": [[0, 0]]}], "fps": 24}, r"there is the keys fps, tracks"),
        ({"tracks": []}, r"tracks=\[\] must be a list of at least one track"),
        ({"tracks": [{"nodes": []}]}, r"tracks\[0\]\.nodes=\[\] must be a list of at least one"),
        ({"tracks": [{"nodes": [[0, 0]], "color": 1}]}, r'tracks\[0\]=.* must have the key "nodes" and no'),
        ({"tracks": [{"nodes": [[0, 0], [0.5]]}]}, r"tracks\[0\]\.nodes\[1\]=\[0.5\] must be two numbers"),
        ({"tracks": [{"nodes": [[0, True]]}]}, r"\[0, true\] must be two numbers"),
        ({"tracks": [{"nodes": [[0, 240]]}]}, r"240 is outside \[-1, 2\]; divide pixels by the picture's height"),
        ({"tracks": [{"nodes": [[float("nan"), 0]]}]}, r"nan is outside \[-1, 2\]"),
        (tracked(width=0), r"width=0 must be the clip's width in pixels"),
        (tracked(points=[]), r"points=\[\] must be a list of frames"),
        (tracked(points=[[[1, 1]], []]), r"points must have 2 frames of 1 points"),
        (tracked(visible=[[True, True]]), r"visible must have 3 frames of 2 points each"),
        (tracked(visible=[[1, True]] * 3), r"visible\[0\]\[0\]=1 must be true or false"),
        (tracked(visible=[[True, True]] * 3), r"points\[1\]\[1\]=\[1000000, -5\]: 1000000 is outside \[-128, 256\]"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_tracks_is_said(content: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"(?s)^motion.json holds no usable tracks.*{message}"):
        parse_tracks(content, source="motion.json")


@pytest.mark.parametrize(
    ("text", "message"), [(None, "cannot be read"), ("{", "is no JSON"), ("\xff", "is no JSON")]
)
def test_a_file_that_is_none_is_said(text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "t.json").write_bytes(text.encode("latin-1"))

    with pytest.raises(UserError, match=message):
        read_tracks(tmp_path / "t.json")
