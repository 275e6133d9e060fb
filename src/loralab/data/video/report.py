"""What becomes of every listed clip: a line for each, with the reason, and counts that add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from loralab.data.images import cropped_share
from loralab.data.video.clip import Clip
from loralab.data.video.rules import ClipRules
from loralab.errors import UserError

SHOWN_NAMES = 5
SHARP = 1.25
"""Pictures enlarged by more look soft; the bound of still pictures, dataset.max_upscale."""
MUCH_CROPPED = 0.25
USUAL_CLIPS = (10, 50)
"""What guides by others speak of; the vendor names no number."""
LONGEST_S, LARGEST_SIDE, FASTEST_FPS = 20.0, 2048, 60.0
"""LTX-2's positions are scaled by 20 s and 2048 pixels (ltx-core, max_pos); diffusers caps rates at 60."""


@dataclass(frozen=True)
class Rejection:
    """A listed clip that is not used.

    Attributes:
        where: its name, or its line.
        kind: the reason in a word or two.
        reason: the reason and, where it is not plain, the way out.
        asked_for: a policy says to leave such clips out; otherwise it is a mistake.
    """

    where: str
    kind: str
    reason: str
    asked_for: bool = False


@dataclass(frozen=True, kw_only=True)
class Report:
    """What became of all listed clips.

    Attributes:
        clips: those that are used.
        rejections: the others.
        num_listed: how many there were.
        notes: remarks of the source.
        rules: by which they were judged.
    """

    clips: tuple[Clip, ...]
    rejections: tuple[Rejection, ...]
    num_listed: int
    notes: tuple[str, ...]
    rules: ClipRules

    def __post_init__(self) -> None:
        """Nothing is lost silently."""
        assert self.num_listed == len(self.clips) + len(self.rejections)

    def lines(self) -> Iterator[str]:
        """Yields a line for every listed clip, the counts, and what is worth a second look."""
        yield from (f"accepted  {clip.entry.name}: {described(clip)}" for clip in self.clips)
        for rejection in self.rejections:
            verdict = "left out" if rejection.asked_for else "rejected"
            yield f"{verdict}  {rejection.where}: {rejection.reason}"
        yield self.counts()
        if self.clips:
            buckets = Counter(str(clip.bucket) for clip in self.clips)
            yield f"buckets: {', '.join(f'{bucket}: {count}' for bucket, count in buckets.most_common())}"
        yield from (f"note: {note}" for note in (*self.notes, *self.remarks()))

    def counts(self) -> str:
        """Gives how many clips were listed, accepted and not, with the reasons."""
        left_out = [rejection.kind for rejection in self.rejections if rejection.asked_for]
        rejected = [rejection.kind for rejection in self.rejections if not rejection.asked_for]
        parts = [
            f"{len(self.clips)} accepted",
            _counted("left out", left_out),
            _counted("rejected", rejected),
        ]
        return f"{self.num_listed} clips listed: {', '.join(parts)}"

    def stop_at_mistakes(self) -> None:
        """Raises one error where clips were rejected that no policy leaves out, or where none is left."""
        mistakes = [rejection for rejection in self.rejections if not rejection.asked_for]
        if mistakes:
            raise UserError(
                f"{len(mistakes)} of {self.num_listed} clips cannot be used; mend or remove them (reasons above)."
            )
        if not self.clips:
            raise UserError("no clip is left to train on.")

    def remarks(self) -> Iterator[str]:
        """Yields what is worth a second look."""
        rates = Counter(f"{clip.fps:.5g}" for clip in self.clips if len(clip.probe.times) > 1)
        if len(rates) > 1:
            shown = ", ".join(f"{count} at {rate}" for rate, count in rates.most_common())
            way = f"{self.rules.key('fps')}=resample:<n> makes them equal"
            yield f"clips differ in frames per second ({shown}); {way}"
        if self.rules.fps == "keep" and (varying := [clip for clip in self.clips if not clip.probe.constant]):
            yield (
                f"{self.rules.key('fps')}=keep plays frames of varying length as if all were equally long: "
                f"{_names(varying)}"
            )
        same = Counter((clip.key, clip.entry.reference_video) for clip in self.clips)
        if twice := [clip for clip in self.clips if same[clip.key, clip.entry.reference_video] > 1]:
            yield f"the same video is there more than once: {_names(twice)}"
        low, high = USUAL_CLIPS
        if self.clips and not low <= len(self.clips) <= high:
            yield f"{len(self.clips)} clips; guides by others speak of {low} to {high}"


def described(clip: Clip) -> str:
    """Gives what a clip is and what is made of it, on one line."""
    probe = clip.probe
    rate = f"{probe.fps:.5g} fps" if probe.constant else f"{probe.fps:.5g} fps on average"
    is_still = len(probe.times) == 1
    source = f"{probe.width}x{probe.height}, " + (
        "a picture" if is_still else f"{len(probe.times)} frames at {rate} ({probe.duration:.2f} s)"
    )
    if probe.sound:
        source += f", {probe.sound}"
    made = f"{clip.bucket} at {clip.fps:.5g} fps ({clip.duration:.2f} s)"
    remarks = "; ".join((*probe.remarks, *_changes(clip)))
    return f"{source} -> {made}" + (f"; {remarks}" if remarks else "")


def _changes(clip: Clip) -> Iterator[str]:
    """What the model sees that the file does not have, and the other way round."""
    probe, bucket = clip.probe, clip.bucket
    if clip.period < bucket.frames:
        yield f"starts over after {clip.period} frames"
    elif probe.duration - clip.duration > 1 / clip.fps:
        yield f"the last {probe.duration - clip.duration:.2f} s are not used"
    if clip.sound and clip.sound.path != clip.video.path:
        yield f"sound from {clip.sound.path.name}"
    elif clip.sound and probe.sound and probe.sound.duration < min(probe.duration, clip.duration) - 0.1:
        yield f"silent after {probe.sound.duration:.2f} s"
    scale = max(bucket.height / probe.height, bucket.width / probe.width)
    if scale > SHARP:
        yield f"enlarged {scale:.2f} times"
    cropped = cropped_share(
        width=probe.width, height=probe.height, bucket_height=bucket.height, bucket_width=bucket.width
    )
    if cropped > MUCH_CROPPED:
        yield f"{cropped:.0%} is cropped away"
    if clip.duration > LONGEST_S or max(bucket.height, bucket.width) > LARGEST_SIDE:
        yield f"beyond the model's positions ({LONGEST_S:.0f} s, {LARGEST_SIDE} pixels)"
    if clip.fps > FASTEST_FPS:
        yield f"faster than {FASTEST_FPS:.0f} fps, the most that the model is used with"


def _counted(verdict: str, kinds: list[str]) -> str:
    reasons = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(kinds).items()))
    return f"{len(kinds)} {verdict}" + (f" ({reasons})" if kinds else "")


def _names(clips: list[Clip]) -> str:
    rest = len(clips) - SHOWN_NAMES
    names = ", ".join(clip.entry.name for clip in clips[:SHOWN_NAMES])
    return names + (f" and {rest} more" if rest > 0 else "")
