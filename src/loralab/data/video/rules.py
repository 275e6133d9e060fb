"""How clips are cut, as configured; refuses what cannot be."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loralab.data.video.masks import kept_frames
from loralab.data.video.policies import AUDIO, TOO_SHORT, FpsPolicy
from loralab.data.video.sizes import PIXELS_PER_LATENT, VideoBucket, bucket_problems, parse_buckets
from loralab.errors import UserError, joined


@dataclass(frozen=True, kw_only=True)
class ClipRules:
    """What is made of every clip.

    Attributes:
        buckets: `WxHxF`, several separated by semicolons or as a list.
        fps: `keep` or `resample:<n>`.
        too_short: of clips shorter than all buckets: `error`, `skip` (left out) or `loop` (start over).
        audio: sound that a clip lacks is an error with `require` and leaves the clip out with `skip`; with `absent`
            no sound is read.
        reference_downscale: references are so many times smaller.
        reference_stride: of a reference's frames after the first, one in so many is kept.
        prefix: what stands before these names where they are typed.
    """

    buckets: str | Sequence[str]
    fps: str = "keep"
    too_short: str = "error"
    audio: str = "require"
    reference_downscale: int = 1
    reference_stride: int = 1
    prefix: str = ""

    def __post_init__(self) -> None:
        """Refuses values that cannot work, all at once."""
        if problems := list(self._problems()):
            raise UserError(f"clips cannot be cut so:\n{joined(problems)}")

    @functools.cached_property
    def sizes(self) -> tuple[VideoBucket, ...]:
        """The buckets."""
        return parse_buckets(self.buckets, key=self.key("buckets"), multiple=self._multiple)

    @functools.cached_property
    def fps_policy(self) -> FpsPolicy:
        """What is done with frame rates."""
        return FpsPolicy.parse(self.fps, key=self.key("fps"))

    def key(self, name: str) -> str:
        """Gives a setting's name as it is typed."""
        return f"{self.prefix}{name}"

    @property
    def _multiple(self) -> int:
        return PIXELS_PER_LATENT * self.reference_downscale

    def _problems(self) -> Iterator[str]:
        for name, choice, choices in (
            ("too_short", self.too_short, TOO_SHORT),
            ("audio", self.audio, AUDIO),
        ):
            if choice not in choices:
                yield f"{self.key(name)}={choice} is not one of {', '.join(choices)}"
        for name, number in (
            ("reference_downscale", self.reference_downscale),
            ("reference_stride", self.reference_stride),
        ):
            if number < 1:
                yield f"{self.key(name)}={number} is below 1"
                return
        yield from self._unparsed()

    def _unparsed(self) -> Iterator[str]:
        try:
            _ = self.fps_policy
        except UserError as error:
            yield str(error)
        faults = list(bucket_problems(self.buckets, key=self.key("buckets"), multiple=self._multiple))
        yield from faults
        try:
            for bucket in () if faults else self.sizes:
                kept_frames(bucket.frames, stride=self.reference_stride, key=self.key("reference_stride"))
        except UserError as error:
            yield str(error)
