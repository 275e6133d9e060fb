"""A folder of videos and pictures, each with its caption in a .txt or .caption file beside it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from loralab.data.folder import CAPTION_ENDINGS, caption_beside
from loralab.data.records import Problem, UnusableError
from loralab.data.video.entries import ClipEntry, ClipListing, is_picture, is_video
from loralab.errors import UserError


@dataclass(frozen=True)
class VideoFolderSource:
    """Reads clips in a folder and in the folders below it, ordered by name; hidden ones are passed over."""

    def read(self, root: str, *, key: str) -> ClipListing:
        """Lists the clips of a folder."""
        folder = Path(root).expanduser()
        if not folder.is_dir():
            raise UserError(f"{key}={root} is not a folder. Give the folder that holds the clips.")
        files = sorted(_files(folder), key=lambda path: path.relative_to(folder).as_posix())
        entries, problems = [], []
        for path in files:
            if not (is_video(path) or is_picture(path)):
                continue
            name = path.relative_to(folder).as_posix()
            try:
                entries.append(ClipEntry(video=path, name=name, caption=caption_beside(path)))
            except UnusableError as error:
                problems.append(Problem(name, str(error)))
        return ClipListing(tuple(entries), tuple(problems), tuple(_passed_over(files)))


def _files(root: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent) / name for name in names if not name.startswith("."))


def _passed_over(files: list[Path]) -> Iterator[str]:
    strange = Counter(
        path.suffix.lower() or "without ending"
        for path in files
        if not (is_video(path) or is_picture(path) or path.suffix.lower() in CAPTION_ENDINGS)
    )
    if strange:
        kinds = ", ".join(f"{count} {ending}" for ending, count in sorted(strange.items()))
        yield f"passed over {strange.total()} files that are neither clips nor captions: {kinds}"
