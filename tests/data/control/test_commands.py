import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loralab import __main__ as package
from loralab.cli import control, tracks
from loralab.data.control.writing import write_video
from loralab.data.video.decode import read_frames
from loralab.data.video.probe import probe
from loralab.errors import UserError

SIZES = ("frames=9", "width=64", "height=64", "out=a.mp4")


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    file = tmp_path / "tracks.json"
    file.write_text(json.dumps({"tracks": [{"nodes": [[0.2, 0.5], [0.8, 0.5]]}]}))
    return file


def moving_square(*, height: int = 64, width: int = 96) -> np.ndarray:
    frames = np.zeros((9, height, width, 3), dtype=np.uint8)
    for index, frame in enumerate(frames):
        frame[20:40, 10 + 5 * index : 30 + 5 * index] = (220, 60, 20)
    return frames


def read(path: Path) -> np.ndarray:
    return np.stack(list(read_frames(path, range(len(probe(path).times)))))


def test_tracks_render_writes_a_video_whose_dot_moves_and_its_preview(
    curve: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "made" / "control.mp4"
    typed = ["frames=9", "width=128", "height=64", "canvas=128", "fps=30000/1001", f"out={out}"]
    monkeypatch.setattr(sys, "argv", ["loralab", "tracks", "render", str(curve), *typed])

    package.main()

    video = read(out).astype(int)
    assert video.shape == (9, 64, 128, 3) and probe(out).fps == pytest.approx(30000 / 1001)
    for frame, x in ((0, 0.2), (8, 0.8)):
        assert np.abs(video[frame, 32, round(x * 128)] - (0, 0, 255)).max() < 12  # colours survive the codec
    assert video[0, 32, round(0.8 * 128)].max() < 12
    with Image.open(out.with_suffix(".png")) as preview:
        assert preview.width == 1224
    assert sorted(file.name for file in out.parent.iterdir()) == ["control.mp4", "control.png"]


def test_control_canny_keeps_frames_sizes_and_uneven_times(tmp_path: Path) -> None:
    source, out, frames = tmp_path / "clip.mp4", tmp_path / "edges.mp4", moving_square()
    times = [0, 0.1, 0.15, 0.4, 0.5, 0.55, 0.7, 0.9, 1.0]
    write_video(source, frames, fps=Fraction(9), times=times)

    control.main(["canny", str(source), f"out={out}"])

    assert probe(out).times == pytest.approx(times, abs=1e-4)
    edges = read(out)
    assert edges.shape == frames.shape
    columns = [np.nonzero(frame[30, :, 0] > 128)[0] for frame in edges]
    assert all(abs(found[0] - (10 + 5 * index)) <= 1 for index, found in enumerate(columns))


def test_control_canny_resizes_first_where_asked(tmp_path: Path) -> None:
    source, out = tmp_path / "clip.mp4", tmp_path / "edges.mp4"
    write_video(source, moving_square(height=64, width=98), fps=Fraction(24))

    control.main(["canny", str(source), f"out={out}", "short_side=31"])

    assert (probe(out).height, probe(out).width) == (32, 48)  # 31 x 47.5, made even


def test_control_annotate_runs_any_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_depth.py").write_text("def depth(frames): return 255 - frames\n")
    monkeypatch.syspath_prepend(tmp_path)
    source, out = tmp_path / "clip.mp4", tmp_path / "depth.mp4"
    write_video(source, moving_square(), fps=Fraction(24))

    control.main(["annotate", str(source), f"out={out}", "annotator=own_depth:depth"])

    assert np.abs(read(out).astype(int) - (255 - moving_square().astype(int))).mean() < 4


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ([], "tracks needs a verb: tracks render <tracks.json> frames=49"),
        (["render"], "tracks render needs a file of tracks: python -m loralab tracks render <file>"),
        (["render", "t.json", "frames=9"], "tracks render needs width, height, out too, as width=960"),
        (["render", "t.json", "frame=9"], "frame is no setting; known: frames"),
        (["render", "t.json", *SIZES, "frames=0"], "frames=0 must be a whole number of at least 1"),
        (["render", "t.json", *SIZES, "width=8"], "width=8 must be a whole number of at least 16"),
        (["render", "t.json", *SIZES, "out=a.gif"], "out=a.gif must end in .mp4"),
        (["render", "t.json", *SIZES, "fps=0"], "fps=0 must be above 0"),
        (["render", "t.json", *SIZES, "background=b.png"], "background=b.png cannot be read as a picture"),
        (["render", "nowhere.json", *SIZES], "nowhere.json cannot be read"),
    ],
)
def test_tracks_says_what_is_wrong(typed: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tracks.main(typed)


def test_odd_sides_are_refused_and_leave_no_file(curve: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"

    with pytest.raises(UserError, match="width=97 height=64 must be even"):
        tracks.main(["render", str(curve), "frames=9", "width=97", "height=64", "canvas=64", f"out={out}"])

    assert [file.name for file in tmp_path.iterdir()] == ["tracks.json"]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ([], "control needs a verb"),
        (["canny", "clip.mp4"], "control canny needs out=control.mp4"),
        (["canny", "clip.mp4", "out=clip.mp4"], "out=clip.mp4 is the video itself"),
        (["canny", "clip.mp4", "out=a.mp4", "low=x"], "low=x must be a number"),
        (["canny", "clip.mp4", "out=a.mp4", "short_side=8"], "short_side=8 must be .* at least 16"),
        (["canny", "nowhere.mp4", "out=a.mp4"], "nowhere.mp4 cannot be read"),
        (["annotate", "clip.mp4", "out=a.mp4"], "control annotate needs annotator=package.module:function"),
    ],
)
def test_control_says_what_is_wrong(
    typed: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video("clip.mp4", moving_square(), fps=Fraction(24))

    with pytest.raises(UserError, match=message):
        control.main(typed)

    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]
