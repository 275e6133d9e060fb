"""A folder of videos and pictures, each with its caption in a .txt or .caption file beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loralab.data.folder import CAPTION_ENDINGS, caption_beside, passed_over, stray_links, visible_files
from loralab.data.records import Problem, UnusableError
from loralab.data.video.entries import (
    PICTURE_ENDINGS,
    VIDEO_ENDINGS,
    ClipEntry,
    ClipListing,
    is_picture,
    is_video,
)
from loralab.errors import UserError


@dataclass(frozen=True)
class VideoFolderSource:
    """Reads clips in a folder and in the folders below it, ordered by name; hidden ones are passed over."""

    def read(self, root: str, *, key: str) -> ClipListing:
        """Lists the clips of a folder."""
        folder = Path(root).expanduser()
        if not folder.is_dir():
            raise UserError(f"{key}={root} is not a folder. Give the folder that holds the clips.")
        files = visible_files(folder)
        entries: list[ClipEntry] = []
        stray = set(stray_links(files, root=folder))
        problems = [Problem(str(path), f"is a link out of {key}; copy the file") for path in sorted(stray)]
        for path in (each for each in files if each not in stray):
            if any(path.with_suffix(ending) in stray for ending in CAPTION_ENDINGS):
                continue
            if not (is_video(path) or is_picture(path)):
                continue
            name = path.relative_to(folder).as_posix()
            try:
                entries.append(ClipEntry(video=path, name=name, caption=caption_beside(path)))
            except UnusableError as error:
                problems.append(Problem(name, str(error)))
        known = (*VIDEO_ENDINGS, *PICTURE_ENDINGS, *CAPTION_ENDINGS)
        notes = passed_over(files, known=known, what="clips nor captions")
        return ClipListing(tuple(entries), tuple(problems), tuple(notes))
