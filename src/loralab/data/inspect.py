"""Opens every listed picture once: entries become records, or problems with the reason.

What a picture's content alone decides (its size, that it decodes) is remembered below the cache folder under
the content's hash, so that a second start reads the bytes but decodes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from loralab.data.images import load_alpha, load_mask, load_picture
from loralab.data.memo import in_threads, remembered
from loralab.data.records import Entry, Problem, Record, UnusableError
from loralab.files import sha256_file

MASKED_LOSSES = ("none", "file", "alpha")
FACTS_VERSION = 1
MASK_ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class Facts:
    """What a good file's content alone decides.

    Attributes:
        width, height: pixels, upright; 0 for an alpha channel that is not there.
    """

    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Inspector:
    """Checks entries.

    Attributes:
        default_caption: for pictures without one; None makes them a problem.
        masked_loss: where masks come from.
        min_side: pictures with a shorter side are a problem.
        cache_root: where facts are remembered.
    """

    default_caption: str | None
    masked_loss: str
    min_side: int
    cache_root: Path

    def inspect(self, entries: Sequence[Entry]) -> tuple[list[Record], list[Problem]]:
        """Gives the records of good entries, in order, and the problems of the others."""
        results = in_threads("check pictures", entries, self._checked)
        records = [result for result in results if isinstance(result, Record)]
        return records, [result for result in results if isinstance(result, Problem)]

    def _checked(self, entry: Entry) -> Record | Problem:
        try:
            return self._record(entry)
        except (OSError, UnusableError) as error:
            return Problem(_where(entry), str(error))

    def _record(self, entry: Entry) -> Record:
        caption = entry.caption or self.default_caption
        if not caption:
            raise UnusableError(
                "has no caption: write one beside it (.txt), or set dataset.caption for all that have none"
            )
        key = sha256_file(entry.path)
        facts = self._facts(entry.path, key, kind="picture")
        if min(facts.width, facts.height) < self.min_side:
            raise UnusableError(
                f"is too small: {facts.width}x{facts.height}, dataset.min_side={self.min_side}"
            )
        return Record(
            key=key,
            path=entry.path,
            name=entry.name,
            caption=caption,
            width=facts.width,
            height=facts.height,
            mask_path=self._mask_path(entry, key=key, facts=facts),
            weight=entry.weight,
            repeats=entry.repeats,
            framing=entry.framing,
        )

    def _mask_path(self, entry: Entry, *, key: str, facts: Facts) -> Path | None:
        if self.masked_loss == "alpha":
            return entry.path if self._facts(entry.path, key, kind="alpha").width else None
        if self.masked_loss == "none" or entry.mask_path is None:
            return None
        mask = self._facts(entry.mask_path, sha256_file(entry.mask_path), kind="mask")
        if abs(mask.width * facts.height / (mask.height * facts.width) - 1) > MASK_ASPECT_TOLERANCE:
            sizes = f"{mask.width}x{mask.height}, the picture is {facts.width}x{facts.height}"
            raise UnusableError(f"its mask {entry.mask_path.name} has another shape: {sizes}")
        return entry.mask_path

    def _facts(self, path: Path, key: str, *, kind: Literal["picture", "mask", "alpha"]) -> Facts:
        return remembered(
            self.cache_root,
            f"{kind}-{FACTS_VERSION}",
            key,
            see=lambda: _seen(path, kind),
            read=lambda known: Facts(**known),
        )


def _seen(path: Path, kind: str) -> Facts:
    try:
        picture = _opened(path, kind)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the file cannot be read; nothing is known about its content
        raise UnusableError(f"its {kind} cannot be decoded: {error}") from error
    if picture is None:
        return Facts(width=0, height=0)
    if kind != "picture" and picture.getextrema()[1] == 0:
        raise UnusableError(f"its {kind} is black everywhere: nothing would be learned from it")
    return Facts(picture.width, picture.height)


def _opened(path: Path, kind: str) -> Image.Image | None:
    if kind == "alpha":
        return load_alpha(path)
    return load_mask(path) if kind == "mask" else load_picture(path)


def _where(entry: Entry) -> str:
    return f"{entry.name} ({entry.path})" if entry.name not in entry.path.as_posix() else str(entry.path)
