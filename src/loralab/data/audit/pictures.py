"""An audit of pictures: number and sizes, what cannot be used, is blurred or there twice, and how they are framed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from loralab.data.audit.captions import Captioned, CaptionWishes, caption_findings
from loralab.data.audit.copies import copies
from loralab.data.audit.finding import Finding, Flagged
from loralab.data.audit.framing import framing_findings
from loralab.data.audit.looks import Look, looks_of
from loralab.data.collect import Collection
from loralab.data.dataset import PictureDataset
from loralab.data.images import cropped_share
from loralab.data.records import Record

BLUR = 25.0
"""Variance of the Laplacian. A sharp photo of 512x600 had 1034, blurred by a Gaussian of 1 pixel 84, of 2 pixels 12."""
MUCH_CROPPED = 0.25


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a model's recipe asks of its data.

    Attributes:
        sentences: captions are sentences.
        pictures: the least and the most pictures that it speaks of, or None.
        framing: shares of close-ups and so on, (least, most) by framing; empty where it does not speak of people.
        max_length: tokens at which prompts are cut, or None.
        blur: sharpness below which a picture is called blurred; 0 for none.
    """

    sentences: bool = False
    pictures: tuple[int, int] | None = None
    framing: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    max_length: int | None = None
    blur: float = BLUR


def audited_pictures(
    dataset: PictureDataset, *, size_multiple: int, wanted: Wanted
) -> tuple[Collection, list[Finding]]:
    """Opens all pictures, also where some cannot be used, and says what is to be said of them.

    Raises:
        UserError: none can be used, or a setting has no effect.
    """
    collection = dataclasses.replace(dataset, on_error="skip").collect(size_multiple)
    records = (*collection.train, *collection.validation)
    captioned = [Captioned(record.name, record.caption, record.path) for record in records]
    wishes = CaptionWishes(
        sentences=wanted.sentences and not dataset.shuffle_tags,
        trigger=dataset.trigger,
        policy=dataset.trigger_policy,
        default=dataset.caption,
        max_length=wanted.max_length,
    )
    looks = looks_of(records, cache_root=collection.cache_root)
    return collection, [
        *_unusable(collection, on_error=dataset.on_error),
        *_counted(collection, wanted.pictures),
        *_sized(records),
        *_blurred(records, looks, least=wanted.blur),
        *_copied(records, looks),
        *caption_findings(captioned, wishes),
        *framing_findings(records, wanted.framing, cache_root=collection.cache_root),
    ]


def _unusable(collection: Collection, *, on_error: str) -> Iterator[Finding]:
    if problems := collection.problems:
        is_error = on_error == "stop"
        way = "mend or remove them, or set dataset.on_error=skip" if is_error else "they are left out"
        yield Finding(
            kind="unusable pictures",
            level="error" if is_error else "warning",
            message=f"{len(problems)} cannot be used: {way}",
            flagged=tuple(Flagged(problem.where, problem.reason) for problem in problems),
        )


def _counted(collection: Collection, bounds: tuple[int, int] | None) -> Iterator[Finding]:
    count = len(collection.train)
    buckets = ", ".join(f"{bucket}: {number}" for bucket, number in collection.buckets.items())
    yield Finding(
        kind="pictures",
        level="note",
        message=f"{count} to train on, {len(collection.validation)} for validation, {len(collection.regularization)} "
        f"for regularisation; showings an epoch by size: {buckets}",
    )
    if bounds is not None and not bounds[0] <= count <= bounds[1]:
        yield Finding(
            kind="number of pictures",
            level="warning",
            message=f"{count} to train on; the recipe speaks of {bounds[0]} to {bounds[1]}",
        )


def _sized(records: Sequence[Record]) -> Iterator[Finding]:
    sides = sorted(min(record.width, record.height) for record in records)
    aspects = sorted(record.width / record.height for record in records)
    yield Finding(
        kind="sizes",
        level="note",
        message=f"shorter sides from {sides[0]} to {sides[-1]} pixels, width over height from {aspects[0]:.2f} to "
        f"{aspects[-1]:.2f}",
    )
    shares = {record.name: max(_cropped(record)) for record in records}
    cropped = [record for record in records if shares[record.name] > MUCH_CROPPED]
    if cropped:
        yield Finding(
            kind="cropped",
            level="warning",
            message=f"{len(cropped)} lose over {MUCH_CROPPED:.0%} to cropping; crop them yourself, or raise "
            "dataset.max_aspect",
            flagged=tuple(Flagged(r.name, f"{shares[r.name]:.0%} is cut away", r.path) for r in cropped),
        )
    if enlarged := [record for record in records if _enlargement(record) > 1]:
        yield Finding(
            kind="enlarged",
            level="note",
            message=f"{len(enlarged)} are smaller than they are trained, and are enlarged (at most "
            "dataset.max_upscale times)",
            flagged=tuple(Flagged(r.name, f"{_enlargement(r):.2f} times", r.path) for r in enlarged),
        )


def _blurred(records: Sequence[Record], looks: Sequence[Look], *, least: float) -> Iterator[Finding]:
    found = [(record, look) for record, look in zip(records, looks, strict=True) if look.sharpness < least]
    if found:
        yield Finding(
            kind="blurred",
            level="warning",
            message=f"{len(found)} look blurred at the size they are trained in (variance of the Laplacian below "
            f"{least:g}): leave them out, or set check.blur=0 where softness is the style",
            flagged=tuple(
                Flagged(r.name, f"{look.sharpness:.1f}", r.path)
                for r, look in sorted(found, key=lambda pair: pair[1].sharpness)
            ),
        )


def _copied(records: Sequence[Record], looks: Sequence[Look]) -> Iterator[Finding]:
    groups = copies(looks)
    if groups:
        count = sum(map(len, groups))
        yield Finding(
            kind="copies",
            level="warning",
            message=f"{count} pictures are nearly the same as another; keep one of each, or each counts as often as it "
            "is there",
            flagged=tuple(
                Flagged(records[place].name, f"copy {number}", records[place].path, number)
                for number, group in enumerate(groups, 1)
                for place in group
            ),
        )


def _cropped(record: Record) -> list[float]:
    size = {"width": record.width, "height": record.height}
    return [cropped_share(**size, bucket_height=b.height, bucket_width=b.width) for b in record.buckets]


def _enlargement(record: Record) -> float:
    return max(max(b.height / record.height, b.width / record.width) for b in record.buckets)
