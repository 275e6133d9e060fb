"""Models of pictures: the one convention that objectives, evaluation and encoding speak.

    sigma in [0, 1]: 0 is data, 1 is noise;    velocity = noise - data
A family is a `Denoiser`. Whatever its network wants to be told (another clock, another sign, packed tokens,
lists) is translated inside the family and nowhere else.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import Float

from loralab.denoiser.model import Model, SampleSize

if TYPE_CHECKING:
    from torch import Tensor

    from loralab.memory.plan import Tokens


@dataclass(frozen=True)
class Sampling:
    """How a checkpoint is meant to be sampled.

    Attributes:
        num_steps: solver steps of the preview.
        guidance_scale: in the family's own convention; `guides` says whether it costs a second call.
        height, width: preview size in pixels.
    """

    num_steps: int
    guidance_scale: float
    height: int
    width: int


class Denoiser(Model):
    """One checkpoint of one family: encodes, predicts velocity, decodes."""

    sampling: Sampling

    @abc.abstractmethod
    def pixel_fingerprint(self) -> str:
        """Digests what latents depend on besides the pixels: VAE config and weights, normalisation."""

    @abc.abstractmethod
    def encode_prompts(self, prompts: Sequence[str]) -> list[Float[Tensor, " _l d"]]:
        """Embeds prompts, on the CPU; every returned token counts (padding that is attended to is kept)."""

    @abc.abstractmethod
    def encode_pixels(self, pixels: Float[Tensor, " b 3 height width"]) -> Float[Tensor, " b c h w"]:
        """Encodes pixels in [-1, 1] to normalised latents (posterior mode, so always the same), fp32 on CPU."""

    @abc.abstractmethod
    def decode_latents(self, latents: Float[Tensor, " b c h w"]) -> Float[Tensor, " b 3 height width"]:
        """Decodes normalised latents to pixels in [-1, 1], fp32 on CPU."""

    @abc.abstractmethod
    def latents_shape(self, *, height: int, width: int) -> tuple[int, int, int]:
        """Gives (c, h, w) of the latents of a picture of that many pixels. Reads configs only."""

    @abc.abstractmethod
    def velocity(
        self,
        noisy: Float[Tensor, " b c h w"],
        *,
        sigma: Float[Tensor, " b"],
        prompt_embeds: Sequence[Float[Tensor, " _l d"]] | Float[Tensor, " b l d"],
    ) -> Float[Tensor, " b c h w"]:
        """Predicts noise - data at `sigma`, fp32, differentiable with respect to the adapter."""

    @abc.abstractmethod
    def sampling_sigmas(
        self, *, num_steps: int, latents_shape: Sequence[int]
    ) -> Float[Tensor, " num_steps_plus_1"]:
        """Gives the sigmas from 1 down to 0 that the checkpoint's own diffusers pipeline would take."""

    @abc.abstractmethod
    def guides(self, guidance_scale: float) -> bool:
        """Says whether this guidance scale needs a second, unconditional call."""

    @abc.abstractmethod
    def guide(
        self,
        conditional: Float[Tensor, " b c h w"],
        unconditional: Float[Tensor, " b c h w"],
        guidance_scale: float,
    ) -> Float[Tensor, " b c h w"]:
        """Combines two velocities in the family's own guidance convention."""

    def tokens(self, size: SampleSize) -> Tokens:
        """Counts the tokens of a picture, whose sides are rounded up, and of a usual prompt."""
        from loralab.memory.plan import Tokens

        multiple, blueprint = self.size_multiple, self.blueprint()
        height, width = (-(-side // multiple) * multiple for side in (size.height, size.width))
        return Tokens(
            picture=blueprint.padded(self.num_tokens(self.latents_shape(height=height, width=width))),
            prompt=blueprint.padded(blueprint.prompt_tokens),
        )

    def exported_name(self, key: str) -> str:
        """Gives the key itself: other tools know diffusers' names."""
        return key

    def export_header(self, *, reference: tuple[int, int] | None) -> Mapping[str, str]:
        """Gives nothing: pictures are trained without references, and a base is known by its layers."""
        return {}
