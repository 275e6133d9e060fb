"""What the latents of a clip depend on, digested: where any of it changes, they are made anew.

Latents of LTX-2 and LTX-2.3 have the same shape and different encoders, so that the version counts beside the
encoder's own fingerprint.
"""

from __future__ import annotations

from loralab.data.cache import digest
from loralab.data.video.clip import Clip

FRAMES = "rgb-cover-bicubic-1"
SOUND = "stereo-16k-1"
MASK = "grey-cover-box-causal-mean-1"
AUDIO_MASK = "level-causal-mean-1"


def video_fingerprint(clip: Clip, *, base_version: str) -> str:
    """Digests content, version of the base, rate policy and bucket."""
    return digest(FRAMES, base_version, clip.key, clip.fps_policy, clip.bucket)


def audio_fingerprint(clip: Clip, *, base_version: str) -> str | None:
    """Digests the sound's content and length, None without sound."""
    if clip.sound is None:
        return None
    return digest(
        SOUND, base_version, clip.sound.key, clip.sound.start, clip.period, clip.bucket.frames, clip.fps
    )


def reference_fingerprint(clip: Clip, *, base_version: str, annotator: str | None = None) -> str | None:
    """Digests what a reference is made of, None without one.

    Args:
        clip: whose reference.
        base_version: of the base.
        annotator: identity of what draws references from the clip's own frames or tracks, with its settings.
    """
    if annotator is not None:
        drawn_from = "" if clip.entry.tracks is None else clip.entry.tracks.read_text(encoding="utf-8")
        source: tuple[object, ...] = (clip.key, annotator, drawn_from)
    elif clip.reference is not None:
        source = (clip.reference.key, clip.reference.indices)
    else:
        return None
    return digest(FRAMES, base_version, *source, clip.fps_policy, clip.bucket, clip.reference_size)


def mask_fingerprint(clip: Clip) -> str | None:
    """Digests what the video mask's latents depend on, None without one; no encoder takes part."""
    if clip.video_mask is None:
        return None
    return digest(MASK, clip.video_mask.key, clip.video_mask.indices, clip.bucket)


def audio_mask_fingerprint(clip: Clip, *, num_latents: int) -> str | None:
    """Digests what the audio mask's latents depend on, None without one; no encoder takes part."""
    if clip.audio_mask is None:
        return None
    mask = clip.audio_mask
    return digest(AUDIO_MASK, mask.key, mask.start, clip.period, clip.bucket.frames, clip.fps, num_latents)
