"""Clips that are ready to be encoded: with prompts, with what their references are, in the parts of a run."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from loralab.data.cache import digest
from loralab.data.collect import Showing
from loralab.data.video.clip import Clip
from loralab.data.video.references import ReferenceRules
from loralab.data.video.sizes import SAMPLE_RATE, VideoBucket


class ClipShape(NamedTuple):
    """What clips must have in common to share a micro-batch: frames, pixels, and samples of sound."""

    frames: int
    height: int
    width: int
    num_samples: int

    @property
    def bucket(self) -> VideoBucket:
        """Frames and pixels alone."""
        return VideoBucket(self.frames, self.height, self.width)

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.num_samples / SAMPLE_RATE


@dataclass(frozen=True, kw_only=True)
class ClipRecord:
    """A clip that is shown.

    Attributes:
        clip: in its bucket.
        prompts: what the text encoder reads; the first is used for validation.
        repeats: how often it is shown per epoch.
        weight: factor of its loss.
    """

    clip: Clip
    prompts: tuple[str, ...]
    repeats: int = 1
    weight: float = 1.0

    @property
    def key(self) -> str:
        """Digest of the video's content and of what is shown beside it: lines that differ in that are others."""
        return digest(self.clip.key, *self._beside) if self._beside else self.clip.key

    @property
    def name(self) -> str:
        """What the user calls it."""
        return self.clip.entry.name

    @property
    def buckets(self) -> tuple[ClipShape, ...]:
        """Its one shape."""
        bucket, sound = self.clip.bucket, self.clip.sound
        samples = 0 if sound is None else round(self.clip.duration * SAMPLE_RATE)
        return (ClipShape(*bucket, num_samples=samples),)

    @property
    def _beside(self) -> tuple[str, ...]:
        entry = self.clip.entry
        files = (entry.reference_video, entry.tracks, entry.video_mask, entry.audio_mask, entry.audio)
        return tuple(
            Path(os.path.relpath(path, entry.video.parent)).as_posix() for path in files if path is not None
        )


@dataclass(frozen=True, kw_only=True)
class ClipCollection:
    """All clips of a run, ready to be encoded.

    Attributes:
        train, validation, regularization: the records of each part.
        references: what references are and how they are drawn; None where clips have none.
        left_out: how many listed clips are not used.
        notes: what the log should say, one line each.
        showing: how the records are shown.
        cache_root: where latents and prompt embeddings are kept.
        num_workers: processes that read the cache while training.
        ram_cache_gib: how much of what was read stays in memory while training.
    """

    train: tuple[ClipRecord, ...]
    validation: tuple[ClipRecord, ...] = ()
    regularization: tuple[ClipRecord, ...] = ()
    references: ReferenceRules | None = None
    left_out: int = 0
    notes: tuple[str, ...] = ()
    showing: Showing = field(default_factory=Showing)
    cache_root: Path
    num_workers: int = 0
    ram_cache_gib: float = 0.0

    @property
    def records(self) -> tuple[ClipRecord, ...]:
        """All of them."""
        return (*self.train, *self.regularization, *self.validation)

    @property
    def shapes(self) -> dict[ClipShape, int]:
        """How many showings per epoch each shape has in training, the most frequent first."""
        counts: Counter[ClipShape] = Counter()
        for record in self.train:
            counts.update(dict.fromkeys(record.buckets, record.repeats))
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
