"""What encoding asks of a model: the encoding half of a Denoiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Encoders(Protocol):
    """Text encoder and VAE of a model, loaded at first use."""

    @property
    def size_multiple(self) -> int:
        """Picture sides must be multiples of this many pixels."""
        ...

    def prompt_fingerprint(self) -> str:
        """Hex digest of everything that prompt embeddings depend on besides the prompt."""
        ...

    def pixel_fingerprint(self) -> str:
        """Hex digest of everything that latents depend on besides the pixels."""
        ...

    def encode_prompts(self, prompts: Sequence[str]) -> list[Float[Tensor, " _ d"]]:
        """Embeds prompts, on the CPU."""
        ...

    def encode_pixels(self, pixels: Float[Tensor, " b 3 height width"]) -> Float[Tensor, " b c h w"]:
        """Encodes pixels in [-1, 1] to normalised latents, on the CPU."""
        ...

    def latents_shape(self, *, height: int, width: int) -> tuple[int, int, int]:
        """Gives (c, h, w) of the latents of a picture of that many pixels."""
        ...

    def release(self, component: Literal["text_encoder", "vae"]) -> None:
        """Frees a component."""
        ...
