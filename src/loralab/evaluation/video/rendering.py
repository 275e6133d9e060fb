"""Clips drawn by the base and by adapter files from the same noise, with one large network in memory at a time.

    text encoder -> VAEs, for what is given -> transformer, for all latents -> audio VAE and vocoder -> VAE

Each is loaded when its turn comes and freed after it, so that decoding has the whole device; latents of a clip are a
few MB. Decoded frames are handed on clip by clip.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float, UInt8
from torch import Tensor

from loralab.denoiser import ClipDenoiser
from loralab.evaluation.sampler import evaluating
from loralab.evaluation.video.drawing import ClipDrawing
from loralab.evaluation.video.known import Known
from loralab.evaluation.video.mixing import mixed
from loralab.evaluation.video.request import ClipRequest, known_latents
from loralab.evaluation.video.sampler import ClipLatents, Progress, draw_latents

BASE = "base"
"""Name of the column that is drawn without an adapter."""


@dataclass(frozen=True, kw_only=True)
class DrawnClip:
    """A decoded clip.

    Attributes:
        column: who drew it.
        index: its row.
        frames: in RGB.
        fps: frames per second.
        sound: stereo in [-1, 1], None where it is silent.
        sample_rate: of the sound, in Hz.
    """

    column: str
    index: int
    frames: UInt8[Tensor, " frames height width 3"]
    fps: float
    sound: Float[Tensor, " 2 samples"] | None = None
    sample_rate: int = 0

    def at(self, index: int) -> DrawnClip:
        """Gives the clip for another row."""
        return dataclasses.replace(self, index=index)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A request with the seed of its noise."""

    request: ClipRequest
    seed: int


def draw_clips(
    model: ClipDenoiser,
    columns: Mapping[str, Sequence[Path]],
    *,
    rows: Sequence[Row],
    drawing: ClipDrawing,
    progress: Progress | None = None,
) -> Iterator[DrawnClip]:
    """Yields every row's clip of every column, column by column.

    Args:
        model: the base; its transformer is freed before decoding, with any adapter in it.
        columns: adapter files that are used together, by the column's name; none for the base.
        rows: what to draw.
        drawing: settings.
        progress: is told 1 after each solver step.

    Raises:
        UserError: if adapters do not fit, or disagree about references, or a size or setting cannot be.
    """
    factors = {name: model.reference_factors(list(paths)) for name, paths in columns.items() if paths}
    largest = max(factors.values(), default=(1, 1))
    for row in rows:
        beside = largest if row.request.reference is not None else (1, 1)
        row.request.size.require(model, key="size", factors=beside)
    model.expect(
        has_audio=any(row.request.has_audio for row in rows),
        adapters=[path for paths in columns.values() for path in paths],
    )
    latents = _drawn(model, columns, rows=rows, drawing=drawing, factors=largest, progress=progress)
    model.release("transformer")
    sounds = {place: _sounding(model, drawn) for place, drawn in latents.items()}
    if any(sound is not None for sound, _ in sounds.values()):
        model.release("audio_vae")
        model.release("vocoder")
    for (name, index), drawn in latents.items():
        sound, rate = sounds[name, index]
        pixels = model.decode_video(drawn.video)[0]
        frames = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 3, 0)
        yield DrawnClip(
            column=name,
            index=index,
            frames=frames,
            fps=rows[index].request.size.fps,
            sound=sound,
            sample_rate=rate,
        )
    model.release("vae")


def num_steps(model: ClipDenoiser, *, columns: int, rows: Sequence[Row], drawing: ClipDrawing) -> int:
    """Counts the solver steps, for a progress bar."""
    return columns * sum(len(drawing.steps(model, row.request.size).sigmas) - 1 for row in rows)


def _drawn(
    model: ClipDenoiser,
    columns: Mapping[str, Sequence[Path]],
    *,
    rows: Sequence[Row],
    drawing: ClipDrawing,
    factors: tuple[int, int],
    progress: Progress | None,
) -> dict[tuple[str, int], ClipLatents]:
    """Draws the latents of all columns and rows."""
    drawing.require_drawable(model)
    embeds = drawing.encode(model, [row.request.prompt for row in rows])
    known = _known(model, [row.request for row in rows], factors=factors)
    found = {}
    for name, paths in columns.items():
        with (
            mixed(model.transformer, paths, foreign_names=model.foreign_names),
            evaluating(model.transformer),
        ):
            for index, row in enumerate(rows):
                found[name, index] = draw_latents(
                    model,
                    prompt=embeds[row.request.prompt],
                    negative=embeds.get(drawing.negative(model)),
                    size=row.request.size,
                    steps=drawing.steps(model, row.request.size),
                    seed=row.seed,
                    has_audio=row.request.has_audio,
                    known=known[id(row.request)],
                    progress=progress,
                )
    return found


def _known(
    model: ClipDenoiser, requests: Sequence[ClipRequest], *, factors: tuple[int, int]
) -> dict[int, Known]:
    """Encodes what is given of each request, by its identity; frees the encoders that were needed for it."""
    known = {}
    for request in requests:
        if id(request) not in known:
            known[id(request)] = known_latents(model, request, factors=factors)
    if any(found.start is not None or found.video is not None or found.reference for found in known.values()):
        model.release("vae")
    if any(found.audio is not None for found in known.values()):
        model.release("audio_vae")
    return known


def _sounding(model: ClipDenoiser, drawn: ClipLatents) -> tuple[Tensor | None, int]:
    return (None, 0) if drawn.audio is None else model.decode_audio(drawn.audio[0])
