"""What travels from a source of pictures to the plan: entries as listed, records as checked, problems as met."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

FRAMINGS = ("close_up", "medium", "full_body", "none")
"""How much of a person a picture shows: face and shoulders, down to the waist, down to the feet, nobody."""


class Bucket(NamedTuple):
    """Pixels of a picture as trained, written as width x height; pictures of a bucket share a micro-batch."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Problem:
    """Why one picture cannot be used.

    Attributes:
        where: path, or the data set's name and row.
        reason: what is wrong and, where it is not plain, the way out.
    """

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class UnusableError(Exception):
    """Why one picture cannot be used; becomes a Problem, while a UserError ends the run."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A picture as a source lists it, not opened yet.

    Attributes:
        path: the picture's file.
        name: what the user calls it: path relative to the root in POSIX form, or the row.
        caption: as written, None where there is none.
        mask_path: greyscale picture, white where the loss counts, or None.
        weight: factor of its loss.
        repeats: how often it is shown per epoch.
        framing: one of FRAMINGS, None where nobody says.
    """

    path: Path
    name: str
    caption: str | None
    mask_path: Path | None = None
    weight: float = 1.0
    repeats: int = 1
    framing: str | None = None


@dataclass(frozen=True)
class Listing:
    """All that a source found.

    Attributes:
        entries: the pictures, ordered by name.
        problems: what could not be listed.
        notes: remarks for the log.
    """

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


@runtime_checkable
class Source(Protocol):
    """Knows how to read one kind of picture collection; `root` says which one."""

    def read(self, root: str, *, key: str, cache_root: Path) -> Listing:
        """Lists the pictures of `root`, which the setting `key` names; may keep files below `cache_root`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Record:
    """A picture that was opened and found good.

    Attributes:
        key: SHA-256 of the file's content, hex: equal pictures share it wherever they lie.
        path: the picture's file.
        name: what the user calls it.
        caption: as written (the data set's default where none was).
        width, height: pixels, upright.
        mask_path: greyscale picture (the picture's own path: its alpha channel), None where all counts.
        weight: factor of its loss.
        repeats: how often it is shown per epoch.
        prompts: what the text encoder reads, one of them per showing; the first is used for validation.
        buckets: the sizes in which it is shown, one per resolution that it is large enough for.
        framing: how much of a person it shows, one of FRAMINGS; None where nobody says.
    """

    key: str
    path: Path
    name: str
    caption: str
    width: int
    height: int
    mask_path: Path | None = None
    weight: float = 1.0
    repeats: int = 1
    prompts: tuple[str, ...] = field(default=())
    buckets: tuple[Bucket, ...] = field(default=())
    framing: str | None = None
