"""One clip that shall be drawn: its prompt and size, and what of it is given as pixels and sound."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from loralab.denoiser import ClipDenoiser, ClipReference
from loralab.evaluation.video.known import Known
from loralab.evaluation.video.size import ClipSize


@dataclass(frozen=True, kw_only=True)
class ClipRequest:
    """What is asked for.

    Attributes:
        prompt: what it shows and sounds like.
        size: pixels, frames and rate.
        has_audio: with sound; without, the network gets none.
        start: its first frames (8k + 1): a picture's, or those of a clip to be continued.
        video: all its frames; only sound is drawn.
        audio: all its sound, stereo at 16 kHz; only video is drawn.
        reference: frames of a control video, at the size that the adapter's factors ask for.
    """

    prompt: str
    size: ClipSize
    has_audio: bool = True
    start: UInt8[Tensor, " k height width 3"] | None = None
    video: UInt8[Tensor, " frames height width 3"] | None = None
    audio: Float[Tensor, " 2 samples"] | None = None
    reference: UInt8[Tensor, " g y x 3"] | None = None


def known_latents(model: ClipDenoiser, request: ClipRequest, *, factors: tuple[int, int]) -> Known:
    """Encodes what is given, by encoders that are loaded for it and stay.

    Args:
        model: whose encoders.
        request: what is given.
        factors: how many times smaller and slower references are.
    """
    spatial, temporal = factors
    reference = None
    if request.reference is not None:
        latents = _encoded(model, request.reference)
        reference = ClipReference(latents=latents, spatial_factor=spatial, temporal_factor=temporal)
    return Known(
        start=None if request.start is None else _encoded(model, request.start),
        video=None if request.video is None else _encoded(model, request.video),
        audio=None if request.audio is None else model.encode_audio(request.audio)[None],
        reference=reference,
    )


def _encoded(model: ClipDenoiser, frames: UInt8[Tensor, " k y x 3"]) -> Float[Tensor, " 1 c f h w"]:
    pixels = frames.permute(3, 0, 1, 2)[None].to(torch.float32) / 127.5 - 1
    return model.encode_video(pixels)
