"""What is shown beside a clip: a control video of its own, its tracks drawn, or what an annotator makes of its frames.

Tracks are drawn and frames annotated at the clip's size; the reference is then made of them like one of a file: the
largest centred part, resized once, and of its frames the first and every `stride`-th after it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from loralab.data.control import (
    Annotator,
    PointTrack,
    SampledTracks,
    Track,
    TrackStyle,
    draw_tracks,
    read_tracks,
)
from loralab.data.video.clip import Clip
from loralab.data.video.fingerprint import reference_fingerprint
from loralab.data.video.masks import kept_frames
from loralab.data.video.sizes import fit_frame


@dataclass(frozen=True, kw_only=True)
class ReferenceRules:
    """How references are made.

    Attributes:
        downscale: they are so many times smaller than their clips.
        stride: of their frames after the first, one in so many is kept.
        annotator: draws those of clips that name none; None where all do.
        canvas: what tracks are drawn on (`TrackStyle.canvas`).
    """

    downscale: int = 1
    stride: int = 1
    annotator: Annotator | None = None
    canvas: int = TrackStyle.canvas

    @property
    def factors(self) -> tuple[int, int]:
        """How many times smaller and slower than clips they are."""
        return self.downscale, self.stride

    def covers(self, clip: Clip) -> bool:
        """Says whether a clip has a reference under these rules."""
        return clip.reference is not None or clip.entry.tracks is not None or self.annotator is not None

    def pixels(self, clip: Clip) -> UInt8[Tensor, " f h w 3"]:
        """Gives the frames of a clip's reference at its size.

        Raises:
            UnreadableError: if a file cannot be decoded.
            UserError: if an annotator gives something else than frames, or dots would be too small to see.
        """
        if clip.reference is not None:
            pixels = clip.reference_pixels()
            assert pixels is not None
            return pixels
        drawn = self._drawn(clip)
        height, width = clip.reference_size
        kept = kept_frames(len(drawn), stride=self.stride, key="dataset.reference_stride")
        fitted = [fit_frame(drawn[place], height=height, width=width) for place in kept]
        return torch.from_numpy(np.stack(fitted))

    def fingerprint(self, clip: Clip, *, base_version: str) -> str:
        """Digests what a clip's reference depends on besides the VAE."""
        drawn_by = None if clip.reference is not None else f"{self._drawer(clip)}/{self.stride}"
        made = reference_fingerprint(clip, base_version=base_version, annotator=drawn_by)
        assert made is not None
        return made

    def _drawer(self, clip: Clip) -> str:
        if clip.entry.tracks is not None:
            return f"tracks on {self.canvas}"
        assert self.annotator is not None
        return self.annotator.digest

    def _drawn(self, clip: Clip) -> UInt8[np.ndarray, " f h w 3"]:
        bucket = clip.bucket
        if clip.entry.tracks is None:
            assert self.annotator is not None
            return self.annotator(clip.pixels().numpy())
        tracks = sampled_for(clip, read_tracks(clip.entry.tracks))
        style = TrackStyle(canvas=self.canvas)
        return draw_tracks(tracks, height=bucket.height, width=bucket.width, style=style)


def sampled_for(clip: Clip, tracks: tuple[Track, ...]) -> SampledTracks:
    """Gives tracks over a clip's frames.

    A curve takes the time of the clip, before it starts over; a tracker saw the frames of the file, of which the clip
    shows some.

    Raises:
        UserError: if a tracker saw fewer frames.
    """
    points, visible = zip(*(_sampled(track, clip) for track in tracks), strict=True)
    return SampledTracks(points=np.stack(points), visible=np.stack(visible))


def _sampled(track: Track, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    shown = np.asarray(clip.video.indices)
    if isinstance(track, PointTrack):
        places, (points, visible) = shown, track.sampled(int(shown.max()) + 1)
    else:
        places, (points, visible) = np.arange(len(shown)) % clip.period, track.sampled(clip.period)
    return points[places], visible[places]
