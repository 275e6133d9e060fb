from __future__ import annotations

import json
from pathlib import Path

import pytest

from loralab.data.video import ClipListing, JsonlSource, VideoFolderSource
from loralab.errors import UserError


def files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("a caption", encoding="utf-8")
    return root


def listed(root: Path, *rows: object) -> ClipListing:
    path = root / "clips.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n\n".join(lines), encoding="utf-8")
    return JsonlSource().read(str(path), key="clips")


def reasons(listing: ClipListing) -> str:
    return "\n".join(map(str, listing.problems))


def test_a_folder_lists_videos_and_pictures_by_name_with_captions_beside_them(tmp_path: Path) -> None:
    files(tmp_path, "b.MP4", "b.txt", "a/c.webm", "a/c.caption", "d.png", ".hidden/e.mp4", "f.wav")

    listing = VideoFolderSource().read(str(tmp_path), key="clips")

    assert [(entry.name, entry.caption) for entry in listing.entries] == [
        ("a/c.webm", "a caption"), ("b.MP4", "a caption"), ("d.png", None),
    ]  # fmt: skip
    assert listing.notes == ("passed over 1 files that are neither clips nor captions: 1 .wav",)


def test_two_captions_of_a_video_are_a_problem(tmp_path: Path) -> None:
    files(tmp_path, "a.mp4", "a.txt", "a.caption")

    assert "a.mp4: has two captions" in reasons(VideoFolderSource().read(str(tmp_path), key="clips"))


def test_what_is_no_folder_and_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="clips=/nowhere is not a folder"):
        VideoFolderSource().read("/nowhere", key="clips")
    with pytest.raises(UserError, match=r"clips=/nowhere\.jsonl is not a file"):
        JsonlSource().read("/nowhere.jsonl", key="clips")
    (tmp_path / "a.jsonl").write_bytes(b'{"video": "\xe9"}')
    with pytest.raises(UserError, match="is not UTF-8"):
        JsonlSource().read(str(tmp_path / "a.jsonl"), key="clips")


def test_a_jsonl_file_names_all_that_belongs_to_a_clip(tmp_path: Path) -> None:
    files(tmp_path, "v/a.mp4", "a.wav", "edges.mp4", "mask.png", "mask.wav", "tracks.json")

    listing = listed(
        tmp_path,
        {
            "video": "v/a.mp4",
            "caption": " a  caption ",
            "audio": "a.wav",
            "reference_video": "edges.mp4",
            "video_mask": "mask.png",
            "audio_mask": "mask.wav",
        },
        {"video": "v/a.mp4", "caption": "c", "tracks": "tracks.json", "audio": None},
    )

    first, second = listing.entries
    assert (first.name, first.caption, first.video) == ("v/a.mp4", "a caption", tmp_path / "v/a.mp4")
    assert (first.audio, first.reference_video) == (tmp_path / "a.wav", tmp_path / "edges.mp4")
    assert (first.video_mask, first.audio_mask) == (tmp_path / "mask.png", tmp_path / "mask.wav")
    assert (second.tracks, second.audio) == (tmp_path / "tracks.json", None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            '{"video": "a.mp4", "captoin": "x"}',
            "has an unknown column captoin; known are video, caption, audio",
        ),
        ('{"caption": "x"}', "has no video"),
        ('{"video": "../a.mp4"}', "../a.mp4 leaves the folder"),
        ('{"video": "/a.mp4"}', "/a.mp4 leaves the folder"),
        ('{"video": "gone.mp4"}', "video=gone.mp4 is not there"),
        ('{"video": "a.wav"}', "video=a.wav has none of the known endings .mp4"),
        ('{"video": ["a.mp4"]}', "video=['a.mp4'] is not a path"),
        ('{"video": "a.mp4", "caption": 7}', "caption=7 is not text"),
        (
            '{"video": "a.mp4", "tracks": "a.wav", "reference_video": "a.mp4"}',
            "both tracks and reference_video",
        ),
        ('{"video": "a.mp4"', "is no JSON object"),
        ('["a.mp4"]', "is no JSON object"),
        ('{"video": "a.mp4"}\n{"video": "a.mp4"}', "line 2: says the same as line 1"),
    ],
)
def test_every_bad_line_is_a_problem_with_its_number(tmp_path: Path, line: str, reason: str) -> None:
    files(tmp_path, "a.mp4", "a.wav")
    (tmp_path / "clips.jsonl").write_text(line, encoding="utf-8")

    listing = JsonlSource().read(str(tmp_path / "clips.jsonl"), key="clips")

    assert reason in reasons(listing)
    assert "clips.jsonl, line " in reasons(listing)
