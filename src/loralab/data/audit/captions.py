"""What captions look like: how long, sentences or tags, twice the same, without the trigger word.

A caption counts as a list of tags where it has at least four parts between commas of at most two and a half words on
average, and no full stop between them. Which captions a model wants is its recipe's matter (`captions: sentences`).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from loralab.data.audit.finding import Finding, Flagged
from loralab.data.captions import PLACEHOLDER

TAGS, WORDS_PER_TAG = 4, 2.5
FEW_WORDS = 5
"""Fewer are no sentence; loralab's bound, no source names one."""
TOKENS_PER_WORD = 1.3
"""Of English text in Qwen's and Gemma's tokenizers, roughly; what is close to the limit is worth a look."""


@dataclass(frozen=True)
class Captioned:
    """A picture or clip with its caption as written."""

    name: str
    caption: str
    path: Path | None = None


@dataclass(frozen=True, kw_only=True)
class CaptionWishes:
    """What is asked of captions.

    Attributes:
        sentences: the model was trained on sentences.
        trigger, policy: as `CaptionRules`.
        default: what captions those that have none of their own.
        max_length: tokens at which the model cuts prompts, or None.
    """

    sentences: bool
    trigger: str | None
    policy: str
    default: str | None
    max_length: int | None


def caption_findings(captioned: Sequence[Captioned], wishes: CaptionWishes) -> Iterator[Finding]:
    """Yields what is to be said of captions."""
    if not captioned:
        return
    counts = [num_words(each.caption) for each in captioned]
    spread = f"{min(counts)} to {max(counts)} words, {statistics.median(counts):g} in the middle"
    yield Finding(kind="caption lengths", level="note", message=spread)
    if wishes.sentences:
        yield from _of_sentences(captioned)
    yield from _twice(captioned, default=wishes.default)
    yield from _of_the_trigger(captioned, wishes)
    if wishes.max_length is not None:
        yield from _too_long(captioned, wishes.max_length)


def num_words(caption: str) -> int:
    """Counts the words of a caption."""
    return len(caption.replace(",", " ").split())


def is_tag_list(caption: str) -> bool:
    """Says whether a caption is tags rather than sentences."""
    parts = [part for part in caption.rstrip(" .").split(",") if part.strip()]
    if len(parts) < TAGS or ". " in caption:
        return False
    return sum(map(num_words, parts)) / len(parts) <= WORDS_PER_TAG


def _of_sentences(captioned: Sequence[Captioned]) -> Iterator[Finding]:
    if tags := [_flag(each) for each in captioned if is_tag_list(each.caption)]:
        yield Finding(
            kind="tags",
            level="warning",
            message=f"{len(tags)} of {len(captioned)} captions are lists of tags; this model was trained "
            "on sentences: write what the picture shows, as you would tell it",
            flagged=tuple(tags),
        )
    if short := [_flag(each) for each in captioned if num_words(each.caption) < FEW_WORDS]:
        yield Finding(
            kind="short captions",
            level="warning",
            message=f"{len(short)} captions have fewer than {FEW_WORDS} words; this model takes long sentences, and "
            "what a caption does not name is learned as part of the subject",
            flagged=tuple(short),
        )


def _twice(captioned: Sequence[Captioned], *, default: str | None) -> Iterator[Finding]:
    same: dict[str, list[Captioned]] = {}
    for each in captioned:
        if each.caption != default:
            same.setdefault(each.caption.lower(), []).append(each)
    groups = [group for group in same.values() if len(group) > 1]
    if groups:
        count = sum(map(len, groups))
        yield Finding(
            kind="equal captions",
            level="warning",
            message=f"{count} captions are there more than once; say what differs between their pictures",
            flagged=tuple(_flag(each, number) for number, group in enumerate(groups, 1) for each in group),
        )


def _of_the_trigger(captioned: Sequence[Captioned], wishes: CaptionWishes) -> Iterator[Finding]:
    if wishes.trigger is None:
        yield Finding(
            kind="trigger",
            level="note",
            message="dataset.trigger=null: no word calls what is learned; it shows in every picture",
        )
        return
    word = PLACEHOLDER if wishes.policy == "replace" else wishes.trigger
    if wishes.policy == "prepend":
        return
    if without := [_flag(each) for each in captioned if word.lower() not in each.caption.lower()]:
        yield Finding(
            kind="trigger",
            level="warning",
            message=f"{len(without)} captions lack {word}, which dataset.trigger_policy={wishes.policy} wants in each: "
            "write it there, or set dataset.trigger_policy=prepend",
            flagged=tuple(without),
        )


def _too_long(captioned: Sequence[Captioned], limit: int) -> Iterator[Finding]:
    if long := [_flag(each) for each in captioned if num_words(each.caption) * TOKENS_PER_WORD > limit]:
        yield Finding(
            kind="long captions",
            level="warning",
            message=f"{len(long)} captions are probably longer than model.max_prompt_length={limit} tokens; what is "
            "beyond is cut off",
            flagged=tuple(long),
        )


def _flag(each: Captioned, group: int = 0) -> Flagged:
    return Flagged(each.name, each.caption, each.path, group)
