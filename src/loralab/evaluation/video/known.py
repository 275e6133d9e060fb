"""What of a clip is given, as latents."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from loralab.denoiser import ClipReference


@dataclass(frozen=True, kw_only=True)
class Known:
    """What of a clip is given, as normalised latents.

    Attributes:
        start: its first latent frames: a picture's, or those of a clip to be continued.
        video: all of it; only sound is drawn.
        audio: all of its sound; only video is drawn.
        reference: a clip to attend to besides.
    """

    start: Float[Tensor, " 1 c k h w"] | None = None
    video: Float[Tensor, " 1 c f h w"] | None = None
    audio: Float[Tensor, " 1 c t m"] | None = None
    reference: ClipReference | None = None
