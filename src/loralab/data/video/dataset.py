"""The clips of a run as configured, and what listing and checking them gives."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from loralab.data.captions import CaptionRules
from loralab.data.collect import Showing
from loralab.data.control import TrackStyle, load_annotator
from loralab.data.mistakes import refuse
from loralab.data.regularization import Regularization
from loralab.data.split import split_validation
from loralab.data.video.check import check_clips
from loralab.data.video.clip import Clip
from loralab.data.video.encode import encode_clips
from loralab.data.video.encoded import EncodedClips
from loralab.data.video.encoders import ClipEncoders
from loralab.data.video.entries import ClipSource
from loralab.data.video.mistakes import misfits, problems, unheard, unmet
from loralab.data.video.records import ClipCollection, ClipRecord
from loralab.data.video.references import ReferenceRules
from loralab.data.video.report import Report
from loralab.data.video.rules import ClipRules
from loralab.errors import UserError, joined

SHOWN_REJECTIONS = 50
SHOWN_NAMES = 5


@dataclass(frozen=True, kw_only=True)
class VideoDataset:
    """Clips with captions to learn from; every field is a key `dataset.<field>`.

    Attributes:
        root: where the clips are; what it means is the source's matter (a folder, a JSONL file).
        source: how they are listed.
        cache_root: folder for latents and prompt embeddings; may be shared by runs and by processes.
        buckets, fps, too_short, audio, reference_downscale, reference_stride: see `ClipRules`; audio None is what
            the objective wants: `require` where it has sound, else `absent`.
        annotator: `package.module:function` that draws the references of clips that name none, or None.
        track_canvas: what tracks are drawn on; a smaller one draws larger dots.
        trigger: the word that the adapter answers to.
        trigger_policy: `prepend`, `replace` or `written` (see CaptionRules).
        caption_dropout: share of showings with the empty prompt.
        repeats: pattern on a clip's name to how often it is shown per epoch.
        validation_fraction: share of the videos kept out of training, chosen by content.
        validation_root: clips that only validation sees, listed like `root`; instead of a fraction.
        regularization: clips of what should stay as it is.
        num_workers: processes that read the cache while training, beside the thread that does.
        ram_cache_gib: tensors of up to so many GiB stay in memory once training has read them; 0 reads each anew.
    """

    root: str
    source: ClipSource
    cache_root: str
    buckets: str | Sequence[str]
    fps: str = "keep"
    too_short: str = "error"
    audio: str | None = None
    reference_downscale: int = 1
    reference_stride: int = 1
    annotator: str | None = None
    track_canvas: int = TrackStyle.canvas
    trigger: str | None = None
    trigger_policy: str = "prepend"
    caption_dropout: float = 0.0
    repeats: Mapping[str, int] | None = None
    validation_fraction: float = 0.0
    validation_root: str | None = None
    regularization: Regularization = field(default_factory=Regularization)
    num_workers: int = 0
    ram_cache_gib: float = 2.0

    def __post_init__(self) -> None:
        """Refuses values that cannot work, all at once."""
        refuse(problems(self))
        self.rules(has_audio=True)

    def rules(self, *, has_audio: bool) -> ClipRules:
        """Gives how clips are cut, with or without their sound."""
        return ClipRules(
            buckets=self.buckets,
            fps=self.fps,
            too_short=self.too_short,
            audio=self.audio or ("require" if has_audio else "absent"),
            reference_downscale=self.reference_downscale,
            reference_stride=self.reference_stride,
            prefix="dataset.",
        )

    def collect(self, size_multiple: int, *, has_audio: bool = False) -> ClipCollection:
        """Opens and sorts all clips.

        Args:
            size_multiple: what sides in pixels must be a multiple of.
            has_audio: the objective reads sound.

        Raises:
            UserError: clips cannot be used, none is left, or a setting has no effect.
        """
        rules = self.rules(has_audio=has_audio)
        refuse(unheard(self, rules, has_audio=has_audio))
        refuse(misfits(rules, size_multiple))
        main = self._read(self.root, rules, key="dataset.root")
        others = self._read(self.regularization.root, rules, key="dataset.regularization.root")
        apart = self._read(self.validation_root, rules, key="dataset.validation_root")
        train, validation = split_validation(main.clips, fraction=self.validation_fraction)
        kept_out = {clip.key for clip in (*validation, *apart.clips)}
        if all(clip.key in kept_out for clip in train):
            raise UserError(
                f"dataset.root={self.root} has no clip that validation does not have: nothing is left to train on."
            )
        reports = (main, others, apart)
        clips = [clip for report in reports for clip in report.clips]
        collection = ClipCollection(
            train=self._records([clip for clip in train if clip.key not in kept_out]),
            validation=self._records((*validation, *apart.clips)),
            regularization=self._records([c for c in others.clips if c.key not in kept_out], apart=True),
            references=self._references(clips),
            left_out=sum(len(report.rejections) for report in reports),
            showing=self._showing(),
            cache_root=Path(self.cache_root).expanduser(),
            num_workers=self.num_workers,
            ram_cache_gib=self.ram_cache_gib,
        )
        refuse(unmet(self, main.clips))
        return dataclasses.replace(collection, notes=tuple(_notes(collection, reports)))

    def encode(
        self, collection: ClipCollection, encoders: ClipEncoders, *, extra_prompts: Sequence[str] = ()
    ) -> EncodedClips:
        """Gives a collection's tensors on disk."""
        return encode_clips(collection, encoders, extra_prompts=extra_prompts)

    def _read(self, root: str | None, rules: ClipRules, *, key: str) -> Report:
        if root is None:
            return Report(clips=(), rejections=(), num_listed=0, notes=(), rules=rules)
        report = check_clips(self.source.read(root, key=key), rules)
        mistakes = [rejection for rejection in report.rejections if not rejection.asked_for]
        if mistakes or not report.clips:
            shown = [f"{one.where}: {one.reason}" for one in report.rejections[:SHOWN_REJECTIONS]]
            rest = len(report.rejections) - SHOWN_REJECTIONS
            lines = joined([*shown, *[f"and {rest} more"] * (rest > 0)]) if shown else "it holds no clip."
            raise UserError(f"{key}={root}: {report.counts()}\n{lines}")
        return report

    def _records(self, clips: Sequence[Clip], *, apart: bool = False) -> tuple[ClipRecord, ...]:
        """Gives clips their prompts; regularisation clips have no trigger and no repeats."""
        rules = CaptionRules(trigger=None if apart else self.trigger, policy=self.trigger_policy)
        return tuple(
            ClipRecord(
                clip=clip,
                prompts=rules.prompts(clip.caption, key=clip.key),
                repeats=1 if apart else self._repeats(clip),
            )
            for clip in clips
        )

    def _repeats(self, clip: Clip) -> int:
        patterns = self.repeats or {}
        return math.prod(
            count for pattern, count in patterns.items() if fnmatchcase(clip.entry.name, pattern)
        )

    def _references(self, clips: Sequence[Clip]) -> ReferenceRules | None:
        """Gives how references are made; None where no clip has one.

        Raises:
            UserError: if some clips have one and some do not.
        """
        rules = ReferenceRules(
            downscale=self.reference_downscale,
            stride=self.reference_stride,
            annotator=None if self.annotator is None else load_annotator(self.annotator),
            canvas=self.track_canvas,
        )
        without = [clip.entry.name for clip in clips if not rules.covers(clip)]
        if len(without) == len(clips):
            return None
        if without:
            raise UserError(
                f"{len(without)} of {len(clips)} clips have no reference, for example "
                f"{', '.join(without[:SHOWN_NAMES])}: give all of them one (columns reference_video or tracks of a "
                "JSONL file, or dataset.annotator=package.module:function), or none."
            )
        return rules

    def _showing(self) -> Showing:
        return Showing(
            caption_dropout=self.caption_dropout,
            regularization_weight=self.regularization.weight,
            regularization_ratio=self.regularization.ratio,
        )


def _notes(collection: ClipCollection, reports: Sequence[Report]) -> Iterator[str]:
    yield (
        f"clips: {len(collection.train)} to train on, {len(collection.validation)} for validation, "
        f"{len(collection.regularization)} for regularisation, {collection.left_out} left out"
    )
    yield from (line for report in reports if report.num_listed for line in report.lines())
