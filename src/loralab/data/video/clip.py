"""A clip that was checked: what the encoders will get of it, decoded when they ask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from loralab.data.video.contents import Probe
from loralab.data.video.entries import ClipEntry
from loralab.data.video.footage import Footage
from loralab.data.video.masks import pool_audio_mask, pool_video_mask
from loralab.data.video.sizes import SAMPLE_RATE, VideoBucket


@dataclass(frozen=True, kw_only=True)
class SoundOf:
    """Where a clip's sound comes from.

    Attributes:
        path: its file.
        key: SHA-256 of the file's content, hex.
        start: time in the file at which the clip begins; None for the beginning of its sound.
    """

    path: Path
    key: str
    start: float | None


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip in its bucket.

    Attributes:
        entry: as listed.
        caption: what the text encoder reads.
        bucket: frames and pixels as trained.
        fps: frames per second as trained; 1 for a picture.
        fps_policy: how frames were chosen, as typed.
        period: the clip starts over after so many frames; all of them where it is not looped.
        video: its frames.
        sound: where its sound comes from, None where it has none or none is read.
        reference: the frames of its reference.
        reference_size: (height, width) of the reference.
        video_mask, audio_mask: which part is given and not learned.
    """

    entry: ClipEntry
    caption: str
    bucket: VideoBucket
    fps: float
    fps_policy: str
    period: int
    video: Footage
    sound: SoundOf | None = None
    reference: Footage | None = None
    reference_size: tuple[int, int] = (0, 0)
    video_mask: Footage | None = None
    audio_mask: SoundOf | None = None

    @property
    def key(self) -> str:
        """SHA-256 of the video file's content, hex: equal videos share it wherever they lie."""
        return self.video.key

    @property
    def probe(self) -> Probe:
        """What the video file holds."""
        return self.video.probe

    @property
    def duration(self) -> float:
        """Length as trained, in seconds."""
        return self.bucket.frames / self.fps

    def pixels(self) -> UInt8[Tensor, " f h w 3"]:
        """Decodes the frames at the bucket's size.

        Raises:
            UnreadableError: the file cannot be decoded so far; so do the other methods.
        """
        return self.video.pixels(height=self.bucket.height, width=self.bucket.width)

    def audio(self) -> Float[Tensor, " 2 samples"] | None:
        """Decodes stereo sound at 16 kHz of the clip's length, silent where the file has no more; None without."""
        return None if self.sound is None else self._sound(self.sound)

    def reference_pixels(self) -> UInt8[Tensor, " f h w 3"] | None:
        """Decodes the reference at its size, None without one."""
        if self.reference is None:
            return None
        height, width = self.reference_size
        return self.reference.pixels(height=height, width=width)

    def video_mask_latents(self) -> Float[Tensor, " f h w"] | None:
        """Gives the share of each latent that is given, None where all is learned."""
        if self.video_mask is None:
            return None
        return pool_video_mask(self.video_mask.levels(height=self.bucket.height, width=self.bucket.width))

    def audio_mask_latents(self, num_latents: int) -> Float[Tensor, " {num_latents}"] | None:
        """Gives the share of each audio latent that is given, None where all is learned."""
        if self.audio_mask is None:
            return None
        level = self._sound(self.audio_mask).abs().mean(dim=0).clamp(0, 1)
        return pool_audio_mask(level, num_latents=num_latents)

    def _sound(self, sound: SoundOf) -> Float[Tensor, " 2 samples"]:
        from loralab.data.video.decode import read_sound

        once = read_sound(
            sound.path, start=sound.start, num_samples=round(self.period / self.fps * SAMPLE_RATE)
        )
        samples = round(self.duration * SAMPLE_RATE)
        times = -(-samples // once.shape[1])
        return torch.tile(once, (1, times))[:, :samples]
