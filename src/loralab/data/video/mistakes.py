"""What is wrong with the settings of a data set of clips, and which of them have no effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from loralab.data.captions import PLACEHOLDER, TRIGGER_POLICIES
from loralab.data.control import TrackStyle
from loralab.data.mistakes import below, outside, unmet_trigger
from loralab.data.video.clip import Clip
from loralab.data.video.rules import ClipRules

if TYPE_CHECKING:
    from loralab.data.video.dataset import VideoDataset


def problems(dataset: VideoDataset) -> Iterator[str]:
    """Yields what is wrong with the values, without opening a file."""
    yield from outside(
        ("caption_dropout", dataset.caption_dropout, 0.0, 1.0),
        ("validation_fraction", dataset.validation_fraction, 0.0, 1.0),
        ("regularization.ratio", dataset.regularization.ratio, 0.0, 1.0),
    )
    yield from below(
        ("num_workers", dataset.num_workers, 0),
        ("ram_cache_gib", dataset.ram_cache_gib, 0),
        *((f"repeats[{pattern}]", count, 1) for pattern, count in (dataset.repeats or {}).items()),
    )
    yield from dataset.regularization.problems()
    if dataset.trigger_policy not in TRIGGER_POLICIES:
        yield f"dataset.trigger_policy={dataset.trigger_policy} is not one of {', '.join(TRIGGER_POLICIES)}"
    if dataset.trigger is not None and not dataset.trigger.strip():
        yield "dataset.trigger is empty; give a word, or null for none"
    yield from _without_effect(dataset)


def _without_effect(dataset: VideoDataset) -> Iterator[str]:
    if dataset.validation_root is not None and dataset.validation_fraction:
        yield "dataset.validation_fraction has no effect beside dataset.validation_root; set one of them"
    if dataset.trigger is None and dataset.trigger_policy != "prepend":
        yield f"dataset.trigger_policy={dataset.trigger_policy} has no effect without dataset.trigger"
    yield from dataset.regularization.without_effect(what="clip")


def unheard(dataset: VideoDataset, rules: ClipRules, *, has_audio: bool) -> Iterator[str]:
    """Yields where clips and objective differ about sound."""
    if has_audio and rules.audio == "absent":
        yield (
            "dataset.audio=absent reads no sound, but the objective has some; set dataset.audio=null, or "
            "objective.mode=t2v for video alone"
        )
    if not has_audio and rules.audio != "absent":
        yield (
            f"dataset.audio={dataset.audio} has no effect: the objective has no sound; set dataset.audio=null, or "
            "objective.mode=t2av to learn both"
        )


def misfits(rules: ClipRules, size_multiple: int) -> Iterator[str]:
    """Yields buckets that the model cannot have."""
    for bucket in rules.sizes:
        for side in (bucket.width, bucket.height):
            if side % (size_multiple * rules.reference_downscale):
                yield f"dataset.buckets={bucket}: {side} is no multiple of this model's {size_multiple}"


def unmet(dataset: VideoDataset, clips: Sequence[Clip]) -> Iterator[str]:
    """Yields the settings that these clips leave without effect."""
    """Yields the settings that these clips leave without effect."""
    captions, names = [clip.caption for clip in clips], [clip.entry.name for clip in clips]
    has_references = any(clip.reference or clip.entry.tracks for clip in clips) or dataset.annotator
    if not has_references and (dataset.reference_downscale, dataset.reference_stride) != (1, 1):
        yield (
            "dataset.reference_downscale and .reference_stride have no effect: no clip has a reference (columns "
            "reference_video or tracks of a JSONL file, or dataset.annotator)"
        )
    if dataset.annotator and all(clip.reference or clip.entry.tracks for clip in clips):
        yield f"dataset.annotator={dataset.annotator} has no effect: every clip names a reference"
    if dataset.track_canvas != TrackStyle.canvas and not any(clip.entry.tracks for clip in clips):
        yield f"dataset.track_canvas={dataset.track_canvas} has no effect: no clip has tracks"
    if dataset.trigger is None and any(PLACEHOLDER in caption for caption in captions):
        yield f"captions say {PLACEHOLDER}, but no trigger word stands for it: set dataset.trigger"
    yield from unmet_trigger(dataset.trigger, dataset.trigger_policy, captions)
    for pattern in dataset.repeats or {}:
        if not any(fnmatchcase(name, pattern) for name in names):
            yield f"dataset.repeats: no clip's name matches {pattern!r}, for example {names[0]!r}"
    if dataset.validation_fraction and len({clip.key for clip in clips}) < 2:
        yield f"dataset.validation_fraction={dataset.validation_fraction} needs two different videos; set it to 0"
