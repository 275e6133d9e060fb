import json
from pathlib import Path

import pytest
from tests.data.video.files import write_video

from loralab.cli import clips
from loralab.errors import UserError


def test_clips_of_a_folder_are_told_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "a.mp4", frames=9)

    clips.main([str(tmp_path), "buckets=96x64x9", "audio=absent"])

    assert capsys.readouterr().out.splitlines()[:2] == [
        "accepted  a.mp4: 96x64, 9 frames at 24 fps (0.38 s) -> 96x64x9 at 24 fps (0.38 s)",
        "1 clips listed: 1 accepted, 0 left out, 0 rejected",
    ]


def test_clips_that_cannot_be_used_end_the_command_with_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "a.mp4", frames=9)
    (tmp_path / "clips.jsonl").write_text(json.dumps({"video": "a.mp4", "caption": "x"}) + "\n{}\n")

    with pytest.raises(UserError, match="2 of 2 clips cannot be used"):
        clips.main([str(tmp_path / "clips.jsonl"), "buckets=96x64x17"])

    shown = capsys.readouterr().out
    assert "rejected  a.mp4: has 9 frames, 17 are needed" in shown
    assert "rejected  clips.jsonl, line 2: has no video" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "clips needs a folder or a .jsonl file"),
        (["videos"], "clips needs buckets=<width>x<height>x<frames>"),
        (["videos", "bucket=64x64x9"], "clips: bucket is no setting; known: buckets"),
        (
            ["videos", "buckets=64x64x9", "reference_stride=two"],
            "reference_stride=two must be a whole number",
        ),
    ],
)
def test_clips_says_what_it_needs(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        clips.main(arguments)
