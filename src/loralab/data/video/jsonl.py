"""A JSONL file that lists clips: one object per line.

Columns: `video` and `caption`, and where wanted `audio`, `reference_video`, `video_mask`, `audio_mask`, `tracks`.
Paths are relative to the file's folder and stay inside it. A video may stand in several lines that differ, for
example with another reference in each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loralab.data.captions import tidy
from loralab.data.folder import stray_links
from loralab.data.manifest import inside, is_unicode, json_lines
from loralab.data.records import Problem, UnusableError
from loralab.data.video.entries import PICTURE_ENDINGS, VIDEO_ENDINGS, ClipEntry, ClipListing
from loralab.errors import UserError

FILES = ("video", "audio", "reference_video", "video_mask", "audio_mask", "tracks")
COLUMNS = ("video", "caption", *FILES[1:])
FRAMED = ("video", "reference_video", "video_mask")


@dataclass(frozen=True)
class JsonlSource:
    """Reads the clips that a JSONL file lists, in its order; a bad line is a problem with its number."""

    def read(self, root: str, *, key: str) -> ClipListing:
        """Lists the clips of a file."""
        path = Path(root).expanduser()
        if not path.is_file():
            raise UserError(f"{key}={root} is not a file. Give the .jsonl file that lists the clips.")
        first_line: dict[ClipEntry, int] = {}
        problems = []
        for number, row in _rows(path, key=key):
            try:
                entry = _entry(row, folder=path.parent)
                if entry in first_line:
                    raise UnusableError(f"says the same as line {first_line[entry]}")
                first_line[entry] = number
            except UnusableError as error:
                problems.append(Problem(f"{path.name}, line {number}", str(error)))
        return ClipListing(tuple(first_line), tuple(problems))


def _rows(path: Path, *, key: str) -> Iterator[tuple[int, object]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from json_lines(file)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{key}={path} is not UTF-8 ({error.reason} at byte {error.start}). Write it as UTF-8."
        ) from error


def _entry(row: object, *, folder: Path) -> ClipEntry:
    if not isinstance(row, Mapping):
        raise UnusableError(f"is no JSON object ({row})")
    if unknown := [str(column) for column in row if column not in COLUMNS]:
        raise UnusableError(f"has an unknown column {', '.join(unknown)}; known are {', '.join(COLUMNS)}")
    if not row.get("video"):
        raise UnusableError("has no video")
    caption = row.get("caption")
    if not isinstance(caption, str | None) or not is_unicode(caption or ""):
        raise UnusableError(f"caption={caption!r} is not text")
    files: dict[str, Any] = {
        column: _file(folder, column, row[column]) for column in FILES if row.get(column)
    }
    if "tracks" in files and "reference_video" in files:
        raise UnusableError(
            "has both tracks and reference_video; tracks are drawn as the reference, keep one"
        )
    name = files["video"].relative_to(folder).as_posix()
    return ClipEntry(name=name, caption=tidy(caption or "") or None, **files)


def _file(folder: Path, column: str, name: object) -> Path:
    if not isinstance(name, str):
        raise UnusableError(f"{column}={name!r} is not a path")
    path = inside(folder, name)
    if not path.is_file():
        raise UnusableError(f"{column}={name} is not there (looked for {path})")
    if any(stray_links([path], root=folder)):
        raise UnusableError(f"{column}={name} is a link out of {folder}, to {path.resolve()}; copy the file")
    endings = (*VIDEO_ENDINGS, *PICTURE_ENDINGS)
    if column in FRAMED and path.suffix.lower() not in endings:
        raise UnusableError(f"{column}={name} has none of the known endings {', '.join(endings)}")
    return path
