"""From a listing to clips: every file is opened once, and what cannot be used is told with the reason."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from loralab.data.control import read_tracks
from loralab.data.progress import progress_bar
from loralab.data.video.clip import Clip, SoundOf
from loralab.data.video.contents import Probe, UnreadableError
from loralab.data.video.entries import ClipEntry, ClipListing
from loralab.data.video.footage import Footage, inspected
from loralab.data.video.masks import kept_frames
from loralab.data.video.policies import FpsPolicy, Selection, select
from loralab.data.video.report import Rejection, Report
from loralab.data.video.rules import ClipRules
from loralab.data.video.sizes import VideoBucket, choose_bucket, for_videos
from loralab.errors import UserError
from loralab.files import sha256_file

ASPECT_TOLERANCE = 0.02
FPS_TOLERANCE = 0.01


@dataclass
class RejectedError(Exception):
    """Why a clip is not used; `asked_for` where a policy says to leave such clips out."""

    kind: str
    reason: str
    asked_for: bool = False


def check_clips(listing: ClipListing, rules: ClipRules, *, show_progress: bool = True) -> Report:
    """Opens every listed clip and gives what becomes of each."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = []
        with progress_bar("check clips", total=len(listing.entries), shown=show_progress) as bar:
            for result in pool.map(lambda entry: _checked(entry, rules), listing.entries):
                results.append(result)
                bar.update()
    unlisted = [Rejection(problem.where, "not listed", problem.reason) for problem in listing.problems]
    return Report(
        clips=tuple(result for result in results if isinstance(result, Clip)),
        rejections=(*(result for result in results if isinstance(result, Rejection)), *unlisted),
        num_listed=len(listing.entries) + len(listing.problems),
        notes=listing.notes,
        rules=rules,
    )


def _checked(entry: ClipEntry, rules: ClipRules) -> Clip | Rejection:
    try:
        return _clip(entry, rules)
    except RejectedError as error:
        return Rejection(entry.name, error.kind, error.reason, asked_for=error.asked_for)
    except UnreadableError as error:
        what = "" if error.path == entry.video else f"its {error.path.name} "
        return Rejection(entry.name, "unreadable", f"{what}{error.reason}")


def _clip(entry: ClipEntry, rules: ClipRules) -> Clip:
    if not entry.caption:
        raise RejectedError("no caption", "has no caption: write one beside it (.txt) or in its line")
    key, probe = inspected(entry.video)
    policy = rules.fps_policy
    bucket = _bucket(probe, policy, rules)
    selection = select(probe, policy, frames=bucket.frames)
    return Clip(
        entry=entry,
        caption=entry.caption,
        bucket=bucket,
        fps=selection.fps,
        fps_policy=rules.fps,
        period=selection.period,
        video=Footage(path=entry.video, key=key, probe=probe, indices=selection.indices),
        sound=_sound(entry, key, probe, rules),
        reference=_reference(entry, probe, selection, rules),
        reference_size=(
            bucket.height // rules.reference_downscale,
            bucket.width // rules.reference_downscale,
        ),
        video_mask=_video_mask(entry, probe, selection, policy),
        audio_mask=_audio_mask(entry, rules),
    )


def _bucket(probe: Probe, policy: FpsPolicy, rules: ClipRules) -> VideoBucket:
    size = {"height": probe.height, "width": probe.width}
    available, is_still = policy.available(probe), len(probe.times) == 1
    buckets = rules.sizes if is_still else for_videos(rules.sizes)
    if bucket := choose_bucket(buckets, frames=available, **size):
        return bucket
    shortest = min(bucket.frames for bucket in buckets)
    if is_still or rules.too_short != "loop":
        at = f" at {float(policy.rate):.5g} fps" if policy.rate else ""
        ways = f"set {rules.key('too_short')}=skip or loop, add a shorter bucket, or take it out"
        if is_still:
            ways = f"add a bucket of one frame to {rules.key('buckets')}, such as 768x448x1"
        plural = "frame" if available == 1 else "frames"
        raise RejectedError(
            "too short",
            f"has {available} {plural}{at}, {shortest} are needed: {ways}",
            asked_for=rules.too_short == "skip",
        )
    fewest = [bucket for bucket in buckets if bucket.frames == shortest]
    looped = choose_bucket(fewest, frames=shortest, **size)
    assert looped is not None
    return looped


def _sound(entry: ClipEntry, key: str, probe: Probe, rules: ClipRules) -> SoundOf | None:
    if rules.audio == "absent":
        return None
    if entry.audio is not None:
        return _sound_file(entry.audio)
    if probe.sound is None:
        ways = f"set {rules.key('audio')}=skip to leave such clips out, or absent to read no sound at all"
        raise RejectedError("no sound", f"has no sound: {ways}", asked_for=rules.audio == "skip")
    return SoundOf(path=entry.video, key=key, start=probe.start)


def _reference(entry: ClipEntry, probe: Probe, selection: Selection, rules: ClipRules) -> Footage | None:
    if entry.tracks is not None:
        _refuse_bad_tracks(entry.tracks)
    if entry.reference_video is None:
        return None
    key, shown = inspected(entry.reference_video)
    if rules.fps_policy.rate is None and abs(shown.fps / probe.fps - 1) > FPS_TOLERANCE:
        raise RejectedError(
            "reference",
            f"its reference has {shown.fps:.5g} fps, it has {probe.fps:.5g}: they would run apart; make them equal, "
            f"or set {rules.key('fps')}=resample:<n>",
        )
    _refuse_other_shape("reference", shown, probe)
    indices = _beside("reference", shown, selection, rules.fps_policy)
    kept = kept_frames(len(indices), stride=rules.reference_stride, key=rules.key("reference_stride"))
    return Footage(
        path=entry.reference_video, key=key, probe=shown, indices=tuple(indices[place] for place in kept)
    )


def _video_mask(entry: ClipEntry, probe: Probe, selection: Selection, policy: FpsPolicy) -> Footage | None:
    if entry.video_mask is None:
        return None
    key, mask = inspected(entry.video_mask)
    _refuse_other_shape("video_mask", mask, probe)
    is_still = len(mask.times) == 1
    indices = [0] * len(selection.indices) if is_still else _beside("video_mask", mask, selection, policy)
    return Footage(path=entry.video_mask, key=key, probe=mask, indices=tuple(indices))


def _audio_mask(entry: ClipEntry, rules: ClipRules) -> SoundOf | None:
    if entry.audio_mask is None or rules.audio == "absent":
        return None
    return _sound_file(entry.audio_mask)


def _sound_file(path: Path) -> SoundOf:
    from loralab.data.video.probe import probe_sound

    probe_sound(path)  # refuses what holds no sound
    return SoundOf(path=path, key=sha256_file(path), start=None)


def _beside(kind: str, other: Probe, selection: Selection, policy: FpsPolicy) -> Sequence[int]:
    """Gives the frames of another file that belong to a clip's."""
    available = policy.available(other)
    if available < selection.period:
        raise RejectedError(kind, f"its {kind} has {available} frames, {selection.period} are needed")
    once = select(other, policy, frames=selection.period).indices
    return [once[number % selection.period] for number in range(len(selection.indices))]


def _refuse_other_shape(kind: str, other: Probe, probe: Probe) -> None:
    if abs(other.width * probe.height / (other.height * probe.width) - 1) > ASPECT_TOLERANCE:
        sizes = f"{other.width}x{other.height}, the clip is {probe.width}x{probe.height}"
        raise RejectedError(kind, f"its {kind} has another shape: {sizes}")


def _refuse_bad_tracks(path: Path) -> None:
    try:
        read_tracks(path)
    except UserError as error:
        raise RejectedError("tracks", f"its tracks cannot be used: {error}") from error
