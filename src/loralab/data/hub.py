"""A Hugging Face data set, from the hub or from a local path."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loralab.data.captions import tidy
from loralab.data.manifest import positive_count, positive_number
from loralab.data.records import Entry, Listing, Problem, UnusableError
from loralab.data.stored import store_picture
from loralab.errors import UserError

ON_HUB = re.compile(r"^(zip://[^:]*::)?hf://datasets/")


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """Reads a data set that the `datasets` library loads; its pictures are kept below the cache folder.

    Attributes:
        split: which part, for example `train` or `train[:200]`.
        name: configuration of the data set, where it has several.
        revision: branch, tag or commit on the hub.
        image_column, caption_column: columns by name; `caption_column` null for a set without captions.
        mask_column, weight_column, repeats_column: columns by name, null where there are none.
    """

    split: str = "train"
    name: str | None = None
    revision: str | None = None
    image_column: str = "image"
    caption_column: str | None = "text"
    mask_column: str | None = None
    weight_column: str | None = None
    repeats_column: str | None = None

    def read(self, root: str, *, key: str, cache_root: Path) -> Listing:
        """Lists the pictures of a data set given by hub id or local path."""
        rows = self._rows(root, key=key)
        entries, problems = [], []
        for number, row in enumerate(rows):
            where = f"{root}[{self.split}] row {number}"
            try:
                entries.append(
                    self._entry(row, name=f"row {number:08d}", folder=cache_root / "hub", root=root)
                )
            except UnusableError as error:
                problems.append(Problem(where, str(error)))
        return Listing(tuple(entries), tuple(problems))

    def _rows(self, root: str, *, key: str) -> Iterable[Mapping[str, Any]]:
        from datasets import Image

        data = self._loaded(root, key=key)
        known = list(data.column_names)
        for use, column in self._columns().items():
            if column not in known:
                raise UserError(
                    f"dataset.source.{use}_column={column} is not a column of {root}[{self.split}]; "
                    f"it has {', '.join(known)}."
                )
        for column in filter(None, (self.image_column, self.mask_column)):
            data = data.cast_column(column, Image(decode=False))
        return data

    def _columns(self) -> dict[str, str]:
        named = {
            "image": self.image_column,
            "caption": self.caption_column,
            "mask": self.mask_column,
            "weight": self.weight_column,
            "repeats": self.repeats_column,
        }
        return {key: column for key, column in named.items() if column is not None}

    def _loaded(self, root: str, *, key: str) -> Any:
        from datasets import load_dataset

        local = Path(root).expanduser()
        where = str(local) if local.exists() else root
        try:
            return load_dataset(where, self.name, split=self.split, revision=self.revision)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{key}={root} (split {self.split}) cannot be loaded: {error} ({type(error).__name__}). "
                "Give a local path, or a hub id that this machine can reach."
            ) from error

    def _entry(self, row: Mapping[str, Any], *, name: str, folder: Path, root: str) -> Entry:
        caption = row[self.caption_column] if self.caption_column else None
        if not isinstance(caption, str | None):
            raise UnusableError(f"caption={caption!r} in column {self.caption_column} is not text")
        return Entry(
            path=_stored(row[self.image_column], folder=folder, root=root),
            name=name,
            caption=tidy(caption or "") or None,
            mask_path=_stored(row[self.mask_column], folder=folder, root=root) if self.mask_column else None,
            weight=positive_number(row[self.weight_column]) if self.weight_column else 1.0,
            repeats=positive_count(row[self.repeats_column]) if self.repeats_column else 1,
        )


def _belongs(path: Path, *, root: str) -> bool:
    """Says whether a file lies in the data set's own folder, or where the libraries keep what they downloaded."""
    from datasets.config import DOWNLOADED_DATASETS_PATH, HF_DATASETS_CACHE
    from huggingface_hub.constants import HF_HUB_CACHE

    homes = (
        Path(root).expanduser(),
        Path(HF_DATASETS_CACHE),
        Path(DOWNLOADED_DATASETS_PATH),
        Path(HF_HUB_CACHE),
    )
    return any(path.resolve().is_relative_to(home.resolve()) for home in homes)


def _stored(cell: Mapping[str, Any] | None, *, folder: Path, root: str) -> Path:
    """Gives a file with the cell's picture: the file that it names, or its bytes kept below `folder`.

    A row of a downloaded table may name any path or address: only files of the set itself and of the hub are opened.
    """
    import fsspec

    if cell is None:
        raise UnusableError("has no picture")
    data = cell.get("bytes")
    if data is None:
        place = str(cell.get("path"))
        if Path(place).is_file() and _belongs(Path(place), root=root):
            return Path(place)
        if not ON_HUB.search(place):
            raise UnusableError(f"names {place}, which is neither a file of the data set nor on the hub")
        with fsspec.open(place, "rb") as file:
            data = file.read()
    return store_picture(data, folder=folder, ending=_ending(data))


def _ending(data: bytes) -> str:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as picture:
            return f".{(picture.format or 'bin').lower()}"
    except (UnidentifiedImageError, OSError):
        return ".bin"
