"""Clips as a source lists them, not opened yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from loralab.data.images import ENDINGS
from loralab.data.records import Problem

VIDEO_ENDINGS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif")
PICTURE_ENDINGS = tuple(ending for ending in ENDINGS if ending not in VIDEO_ENDINGS)
"""A picture is a clip of one frame."""


@dataclass(frozen=True, kw_only=True)
class ClipEntry:
    """A clip and what belongs to it; fields are called as the columns of a JSONL file.

    Attributes:
        video: the video, or the picture.
        name: what the user calls it: path relative to the root in POSIX form.
        caption: as written, None where there is none.
        audio: sound in the place of the video's own.
        reference_video: what the adapter is shown beside the noise, frame by frame.
        video_mask: video or picture, white where the clip is given and not learned.
        audio_mask: sound, loud where the clip's sound is given and not learned.
        tracks: JSON file of paths of points.
    """

    video: Path
    name: str
    caption: str | None
    audio: Path | None = None
    reference_video: Path | None = None
    video_mask: Path | None = None
    audio_mask: Path | None = None
    tracks: Path | None = None


@dataclass(frozen=True)
class ClipListing:
    """All that a source found.

    Attributes:
        entries: the clips, in the source's order.
        problems: what could not be listed.
        notes: remarks for the log.
    """

    entries: tuple[ClipEntry, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


@runtime_checkable
class ClipSource(Protocol):
    """Knows how to read one kind of collection of clips; `root` says which one."""

    def read(self, root: str, *, key: str) -> ClipListing:
        """Lists the clips of `root`, which the setting `key` names."""
        ...


def is_picture(path: Path) -> bool:
    """Tells pictures from videos by their ending."""
    return path.suffix.lower() in PICTURE_ENDINGS


def is_video(path: Path) -> bool:
    """Tells videos by their ending."""
    return path.suffix.lower() in VIDEO_ENDINGS
