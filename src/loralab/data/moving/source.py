"""The concepts of emoji in motion, as a source of clips: files that are written once, below the cache folder.

A clip is an mp4 (H.264, CRF 18), its sound a WAV beside it, its control another mp4. Files are named by what they show,
so that a changed concept does not find the old ones.
"""

from __future__ import annotations

import hashlib
import io
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from loralab.data.control.writing import write_video
from loralab.data.moving.concepts import SPLITS, Control, moving_concept
from loralab.data.moving.controls import control_frames, frames_of, looks_of
from loralab.data.moving.scene import FPS, Scene
from loralab.data.moving.sound import SAMPLE_RATE, draw_sounds
from loralab.data.video.entries import ClipEntry, ClipListing
from loralab.errors import UserError
from loralab.files import atomic_write

FORMAT = "1"
"""Raised when the same scene is drawn or written otherwise."""


@dataclass(frozen=True)
class MovingSource:
    """Draws one split of a concept; a root reads `<concept>/<split>`, for example `moving_zigzag/train`.

    Attributes:
        folder: where the files are written.
    """

    folder: str

    def read(self, root: str, *, key: str) -> ClipListing:
        """Lists the clips of a split; writes those that are not there."""
        name, _, split = root.partition("/")
        concept = moving_concept(name)
        if split not in SPLITS:
            known = ", ".join(f"{name}/{known}" for known in SPLITS)
            raise UserError(f"{key}={root} names no split of {name}; known are {known}.")
        entries = [
            self._entry(scene, concept.control, name=f"{root}/{number:04d}")
            for number, scene in enumerate(concept.scenes[split])
        ]
        return ClipListing(tuple(entries))

    def _entry(self, scene: Scene, control: Control | None, *, name: str) -> ClipEntry:
        stem = (
            Path(self.folder)
            / hashlib.sha256(f"{FORMAT} {scene!r} {looks_of(control)}".encode()).hexdigest()[:24]
        )
        video, audio = stem.with_suffix(".mp4"), stem.with_suffix(".wav")
        reference = stem.with_name(f"{stem.name}.{control}.mp4") if control else None
        if not audio.is_file():
            atomic_write(audio, wave_bytes(draw_sounds([scene])[0].numpy()))
        if not video.is_file():
            _write(video, frames_of(scene))
        if reference and control and not reference.is_file():
            _write(reference, control_frames(scene, control))
        return ClipEntry(
            video=video, name=name, caption=scene.caption, audio=audio, reference_video=reference
        )


def wave_bytes(sound: Float[np.ndarray, " 2 samples"]) -> bytes:
    """A WAV file of 16 bits."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((sound.clip(-1, 1).T * 32767).round().astype("<i2").tobytes())
    return data.getvalue()


def _write(path: Path, frames: Iterable[UInt8[np.ndarray, " h w 3"]]) -> None:
    write_video(path, frames, fps=Fraction(FPS))
