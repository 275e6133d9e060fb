"""Pictures inside the page, within a budget of bytes: small ones as they are, large ones reduced, originals linked."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from PIL import Image

from loralab.report.reading import Source, relative

SIDES = (512, 320, 192, 128, 96)
"""Longest sides that are tried, largest first, until all pictures fit the budget."""
QUALITY = 88
SMALL = 128
"""Pictures up to this side keep their pixels when they are enlarged."""
BUDGET = 6_000_000
"""Bytes of all pictures of a page; base64 adds a third."""


@dataclass(frozen=True)
class Picture:
    """A picture in the page: its data address, its original relative to the page, its size in pixels."""

    address: str
    original: str
    column: str
    width: int
    height: int

    @property
    def is_small(self) -> bool:
        """Whether enlarging must keep its pixels."""
        return max(self.width, self.height) <= SMALL


@dataclass(frozen=True)
class GalleryRow:
    """What was drawn for one prompt and seed."""

    prompt: str
    seed: int | None
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Rows of pictures that are enlarged together; `note` says what was left out."""

    kind: ClassVar[str] = "gallery"
    title: str
    media: str | None
    columns: tuple[str, ...]
    rows: tuple[GalleryRow, ...]
    note: str | None = None


def gallery(
    sources: Sequence[Source], *, beside: Path, title: str, media: str | None = None, budget: int = BUDGET
) -> Gallery | None:
    """Makes a gallery of the files that there are; None where there is none.

    Args:
        sources: row by row.
        beside: the page's folder, to which links are relative.
        title: of the gallery.
        media: the logged name of the pictures.
        budget: bytes of all pictures; what does not fit at the smallest size is left out, last rows first.
    """
    there = [source for source in sources if source.path.is_file()]
    if not there:
        return None
    encoded = _within(there, budget)
    rows: dict[tuple[str, int | None], list[Picture]] = {}
    for source, (address, size) in zip(there, encoded, strict=False):
        picture = Picture(address, relative(source.path, beside), source.column, *size)
        rows.setdefault((source.prompt, source.seed), []).append(picture)
    left = len(there) - len(encoded)
    return Gallery(
        title=title,
        media=media,
        columns=tuple(dict.fromkeys(source.column for source in there)),
        rows=tuple(GalleryRow(*key, tuple(found)) for key, found in rows.items()),
        note=f"{left} more pictures are in the folders; this page has no room for them" if left else None,
    )


def sorted_by_row(sources: Sequence[Source], *, columns: Sequence[str]) -> list[Source]:
    """Gives sources row by row: the base first, then `columns`, then all others, as the truth."""
    rows = {(source.prompt, source.seed): None for source in sources}
    places = {row: index for index, row in enumerate(rows)}
    ranks = {"base": 0, **{name: index for index, name in enumerate(columns, 1)}}

    def place(source: Source) -> tuple[int, int]:
        return places[source.prompt, source.seed], ranks.get(source.column, len(ranks) + 1)

    return sorted(sources, key=place)


def _within(sources: Sequence[Source], budget: int) -> list[tuple[str, tuple[int, int]]]:
    """Encodes all at the largest side at which they fit; at the smallest as many as fit."""
    kept: list[tuple[str, tuple[int, int]]] = []
    for side in SIDES:
        kept, total = [], 0
        for source in sources:
            kind, data, size = _encoded(source.path, side)
            total += len(data)
            if total > budget:
                break
            kept.append((f"data:image/{kind};base64,{base64.b64encode(data).decode()}", size))
        else:
            return kept
    return kept


def _encoded(path: Path, side: int) -> tuple[str, bytes, tuple[int, int]]:
    """Gives kind, bytes and the original's size: as it is where it is small enough, else reduced to a JPEG."""
    with Image.open(path) as image:
        size = image.size
        if max(size) <= side and image.format == "PNG":
            return "png", path.read_bytes(), size
        reduced = image.convert("RGB")
        reduced.thumbnail((side, side), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        reduced.save(buffer, format="JPEG", quality=QUALITY)
        return "jpeg", buffer.getvalue(), size
