"""`metadata.jsonl` and `metadata.csv` beside pictures: one line per picture, the imagefolder convention.

Columns: `file_name`, `text` or `caption`, and where wanted `mask_file_name`, `weight`, `repeats`, `framing`. Paths are
relative to the manifest's folder and stay inside it.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TextIO

from loralab.data.captions import tidy
from loralab.data.records import FRAMINGS, Problem, UnusableError

LONGEST_NAME = 255
NAMES = ("metadata.jsonl", "metadata.csv")
COLUMNS = ("file_name", "text", "caption", "mask_file_name", "weight", "repeats", "framing")


@dataclass(frozen=True)
class Line:
    """What a manifest says about one picture."""

    caption: str | None
    mask_path: Path | None
    weight: float
    repeats: int
    framing: str | None = None


@dataclass(frozen=True)
class Manifest:
    """One manifest file, read.

    Attributes:
        lines: by the picture's path.
        problems: lines that say nothing usable.
    """

    lines: dict[Path, Line] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_manifest(path: Path) -> Manifest:
    """Gives what a manifest says; every bad line becomes a problem with its number."""
    manifest = Manifest()
    try:
        for number, row in _rows(path):
            _take(manifest, row, where=f"{path}, line {number}", folder=path.parent)
    except (UnicodeDecodeError, csv.Error) as error:
        manifest.problems.append(Problem(str(path), f"cannot be read as UTF-8 {path.suffix[1:]} ({error})"))
    return manifest


def _rows(path: Path) -> Iterator[tuple[int, object]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix == ".csv":
            reader = csv.DictReader(file)
            for row in reader:
                yield (
                    reader.line_num,
                    {column: text for column, text in row.items() if text not in (None, "")},
                )
            return
        yield from json_lines(file)


def json_lines(file: TextIO) -> Iterator[tuple[int, object]]:
    """Yields the number and content of every line that is not blank; the error itself where it is no JSON."""
    for number, text in enumerate(file, start=1):
        if text.strip():
            yield number, _parsed(text)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (
        ValueError,
        RecursionError,
    ) as error:  # also numbers of thousands of digits, and lists in lists in lists
        return error


def _take(manifest: Manifest, row: object, *, where: str, folder: Path) -> None:
    try:
        path, line = _line(row, folder=folder)
        if path in manifest.lines:
            raise UnusableError(f"{path.name} is listed twice")
        manifest.lines[path] = line
    except UnusableError as error:
        manifest.problems.append(Problem(where, str(error)))


def _line(row: object, *, folder: Path) -> tuple[Path, Line]:
    if not isinstance(row, Mapping):
        raise UnusableError(f"not a JSON object ({row})")
    unknown = [str(column) for column in row if column not in COLUMNS]
    if unknown:
        raise UnusableError(f"unknown column {', '.join(unknown)}; known are {', '.join(COLUMNS)}")
    if "text" in row and "caption" in row:
        raise UnusableError("has both text and caption; keep one")
    if not row.get("file_name"):
        raise UnusableError("has no file_name")
    caption, mask = row.get("text", row.get("caption")), row.get("mask_file_name")
    if not isinstance(caption, str | None) or not is_unicode(caption or ""):
        raise UnusableError(f"caption={caption!r} is not text")
    return inside(folder, row["file_name"]), Line(
        caption=tidy(caption or "") or None,
        mask_path=inside(folder, mask) if mask else None,
        weight=positive_number(row.get("weight", 1.0)),
        repeats=positive_count(row.get("repeats", 1)),
        framing=known_framing(row["framing"]) if row.get("framing") else None,
    )


def known_framing(value: object) -> str:
    """Gives how much of a person a picture shows.

    Raises:
        UnusableError: it is not one of FRAMINGS.
    """
    text = str(value).strip().lower().replace("-", "_").replace(" ", "_")
    if text not in FRAMINGS:
        raise UnusableError(f"framing={value!r} is not one of {', '.join(FRAMINGS)}")
    return text


def inside(folder: Path, name: object) -> Path:
    """Gives the path of `name` in `folder`.

    Raises:
        UnusableError: it is absolute or climbs out of the folder.
    """
    relative = PurePosixPath(str(name).replace("\\", "/"))
    if not relative.parts or "\0" in str(name) or not is_unicode(str(name)):
        raise UnusableError(f"{name!r} is not the name of a file")
    if any(len(part.encode()) > LONGEST_NAME for part in relative.parts):
        raise UnusableError(
            f"{str(name)[:40]}... has a part of more than {LONGEST_NAME} bytes, which no file has"
        )
    if relative.is_absolute() or ".." in relative.parts or ":" in relative.parts[0]:
        raise UnusableError(f"{name} leaves the folder; paths are relative to {folder}")
    return folder / relative


def is_unicode(text: str) -> bool:
    """Says whether a text can be written down: JSON can name halves of characters, which nothing can."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def positive_number(value: object) -> float:
    """Gives a weight.

    Raises:
        UnusableError: it is not a finite number above 0.
    """
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise UnusableError(f"weight={value!r} is not a number above 0")
    return number


def positive_count(value: object) -> int:
    """Gives a number of repeats.

    Raises:
        UnusableError: it is not a whole number of at least 1.
    """
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UnusableError(f"repeats={value!r} is not a whole number of at least 1")
    return int(text)
