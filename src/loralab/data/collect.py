"""From a listing to a collection: opened, put into buckets, given prompts, split, counted."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from loralab.data.buckets import buckets_of, enlargement, nearest
from loralab.data.captions import PLACEHOLDER, CaptionRules
from loralab.data.images import cropped_share
from loralab.data.inspect import Inspector
from loralab.data.records import Bucket, Problem, Record, Source, UnusableError
from loralab.errors import UserError, joined

SHOWN_PROBLEMS = 50
MUCH_CROPPED = 0.25


@dataclass(frozen=True, kw_only=True)
class Showing:
    """How records are shown in training.

    Attributes:
        flip: half of the showings are mirrored.
        caption_dropout: share of showings with the empty prompt.
        masked: batches carry a mask.
        unmasked_weight: what the loss outside the mask still counts.
        regularization_weight: factor of the loss of regularisation pictures.
        regularization_ratio: share of the micro-batches that show them.
    """

    flip: bool = False
    caption_dropout: float = 0.0
    masked: bool = False
    unmasked_weight: float = 0.0
    regularization_weight: float = 1.0
    regularization_ratio: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Collection:
    """All pictures of a run, ready to be encoded.

    Attributes:
        train, validation, regularization: the records of each part.
        problems: pictures that were left out, with the reason.
        notes: what the log should say, one line each.
        showing: how the records are shown.
        cache_root: where latents and prompt embeddings are kept.
        num_workers: processes that read the cache while training.
        ram_cache_gib: how much of what was read stays in memory while training.
    """

    train: tuple[Record, ...]
    validation: tuple[Record, ...] = ()
    regularization: tuple[Record, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    showing: Showing = Showing()
    cache_root: Path
    num_workers: int = 0
    ram_cache_gib: float = 0.0

    @property
    def buckets(self) -> dict[Bucket, int]:
        """How many showings per epoch each bucket has in training, largest first."""
        counts: Counter[Bucket] = Counter()
        for record in self.train:
            counts.update(dict.fromkeys(record.buckets, record.repeats))
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One root, read.

    Attributes:
        records: good pictures, with buckets and prompts.
        problems: the others.
        notes: remarks for the log.
    """

    records: tuple[Record, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads a root: lists, opens, sizes and captions its pictures.

    Attributes:
        source: lists them.
        inspector: opens them.
        resolutions, size_multiple, max_aspect, max_upscale: make the buckets.
        cache_root: where the source may keep files.
    """

    source: Source
    inspector: Inspector
    resolutions: tuple[int, ...]
    size_multiple: int
    max_aspect: float
    max_upscale: float
    cache_root: Path

    def read(self, root: str, *, rules: CaptionRules, repeats: Mapping[str, int], key: str) -> Reading:
        """Reads one root; `key` is the setting that named it."""
        listing = self.source.read(root, key=key, cache_root=self.cache_root)
        opened, problems = self.inspector.inspect(listing.entries)
        records = []
        for record in _repeated(opened, repeats):
            try:
                sized = dataclasses.replace(record, buckets=self._buckets(record))
                records.append(dataclasses.replace(sized, prompts=_prompts(sized, rules)))
            except UnusableError as error:
                problems.append(Problem(str(record.path), str(error)))
        problems = [*listing.problems, *problems]
        if not records:
            found = f":\n{_shown(problems)}" if problems else ": it holds no pictures of a known kind."
            raise UserError(f"{key}={root} gives no picture to use{found}")
        notes = [*listing.notes, *_remarks(records)]
        return Reading(
            records=tuple(records), problems=tuple(problems), notes=tuple(f"{key}: {note}" for note in notes)
        )

    def _buckets(self, record: Record) -> tuple[Bucket, ...]:
        size = {"height": record.height, "width": record.width}
        wanted = [nearest(self._candidates(resolution), **size) for resolution in self.resolutions]
        fitting = [bucket for bucket in wanted if enlargement(bucket, **size) <= self.max_upscale + 1e-9]
        if not fitting:
            smallest = min(wanted, key=lambda bucket: enlargement(bucket, **size))
            raise UnusableError(
                f"is too small: {record.width}x{record.height} would be enlarged "
                f"{enlargement(smallest, **size):.2f} times for {smallest}; dataset.max_upscale={self.max_upscale}. "
                "Add a smaller number to dataset.resolutions, or take it out"
            )
        return tuple(dict.fromkeys(fitting))

    def _candidates(self, resolution: int) -> tuple[Bucket, ...]:
        candidates = buckets_of(resolution, size_multiple=self.size_multiple, max_aspect=self.max_aspect)
        if not candidates:
            raise UserError(
                f"dataset.resolutions={list(self.resolutions)}: {resolution} is below {self.size_multiple}, "
                "the smallest side of this model. Give larger ones."
            )
        return candidates


def stop_at(problems: Sequence[Problem]) -> None:
    """Raises one error that lists all problems, if there are any."""
    if problems:
        raise UserError(
            f"{len(problems)} pictures cannot be used (dataset.on_error=stop):\n{_shown(problems)}\n"
            "Mend or remove them, or set dataset.on_error=skip to train without them."
        )


def _shown(problems: Sequence[Problem]) -> str:
    rest = len(problems) - SHOWN_PROBLEMS
    return joined([str(problem) for problem in problems[:SHOWN_PROBLEMS]] + [f"and {rest} more"] * (rest > 0))


def _repeated(records: Sequence[Record], repeats: Mapping[str, int]) -> Iterator[Record]:
    for pattern in repeats:
        if records and not any(fnmatchcase(record.name, pattern) for record in records):
            raise UserError(
                f"dataset.repeats: no picture's name matches {pattern!r}; names are paths in the root, "
                f"for example {records[0].name!r}."
            )
    for record in records:
        count = record.repeats
        for pattern, factor in repeats.items():
            count *= factor if fnmatchcase(record.name, pattern) else 1
        yield dataclasses.replace(record, repeats=count)


def _prompts(record: Record, rules: CaptionRules) -> tuple[str, ...]:
    if rules.trigger is None and PLACEHOLDER in record.caption:
        raise UnusableError(
            f"its caption says {PLACEHOLDER}, but no trigger word stands for it here: set dataset.trigger "
            "(regularisation pictures have none)"
        )
    return rules.prompts(record.caption, key=record.key)


def _remarks(records: Sequence[Record]) -> Iterator[str]:
    same_content: dict[str, list[str]] = {}
    for record in records:
        same_content.setdefault(record.key, []).append(record.name)
    twice = [" = ".join(same) for same in same_content.values() if len(same) > 1]
    if twice:
        yield f"{len(twice)} pictures are there more than once: {'; '.join(twice[:5])}"
    cropped = [record.name for record in records if _cropping(record) > MUCH_CROPPED]
    if cropped:
        names = ", ".join(cropped[:5])
        yield f"{len(cropped)} pictures lose over {MUCH_CROPPED:.0%} to cropping (max_aspect): {names}"


def _cropping(record: Record) -> float:
    """The largest share that any of its buckets cuts away."""
    size = {"width": record.width, "height": record.height}
    return max(
        cropped_share(**size, bucket_height=bucket.height, bucket_width=bucket.width)
        for bucket in record.buckets
    )
