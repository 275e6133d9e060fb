"""The one convention that objectives, evaluation and encoding speak.

    sigma in [0, 1]: 0 is data, 1 is noise;    velocity = noise - data
A family is a `Denoiser`. Whatever its network wants to be told (another clock, another sign, packed tokens,
lists) is translated inside the family and nowhere else.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from jaxtyping import Float

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from loralab.memory import Placement
    from loralab.memory.plan import Blueprint

Component = Literal["text_encoder", "vae", "transformer"]


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


@dataclass(frozen=True)
class ModelIdentity:
    """What an adapter belongs to; goes into its metadata and into cache keys.

    Attributes:
        family: architecture, for example `flux2_klein`.
        model: the checkpoint's name in `conf/model`, for example `flux2_klein9b`.
        variant: `base` (velocity regression) or `distilled` (few steps).
        checkpoint: hub id or folder as given; revision: hub revision or None.
        base_digest: SHA-256 over the transformer's config and weights.
    """

    family: str
    model: str
    variant: str
    checkpoint: str
    revision: str | None
    base_digest: str


@dataclass(frozen=True)
class ForeignNames:
    """How other tools name this family's layers.

    Attributes:
        renamed: regex on their dotted module name -> replacement that gives ours (first match wins).
        fused: regex on their module name -> our module names, in the order in which the fused output is cut.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    fused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Denoiser(abc.ABC):
    """One checkpoint of one family: encodes, predicts velocity, decodes. Loads lazily onto `device`."""

    family: str
    name: str
    variant: str
    export_prefix: str
    foreign_names: ForeignNames
    sampling: Sampling

    @property
    @abc.abstractmethod
    def device(self) -> torch.device:
        """Where the networks are."""

    @property
    @abc.abstractmethod
    def size_multiple(self) -> int:
        """Picture sides must be multiples of this many pixels."""

    @abc.abstractmethod
    def identity(self) -> ModelIdentity:
        """Says which base this is; reads files, loads no weights into a module."""

    @abc.abstractmethod
    def blueprint(self) -> Blueprint:
        """Gives the networks on the meta device, for the planner; reads configs only."""

    @abc.abstractmethod
    def place(self, placement: Placement) -> None:
        """Sets where and how components are held from now on; others are dropped, with any adapter in them."""

    @abc.abstractmethod
    def release(self, component: Component) -> None:
        """Frees a component; a later use loads it again."""

    @abc.abstractmethod
    def prompt_fingerprint(self) -> str:
        """Digests what embeddings depend on besides the prompt: encoder, tokenizer, template, layers, length."""

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
    def num_tokens(self, latents_shape: Sequence[int]) -> int:
        """Counts the picture tokens that the transformer sees for latents of shape (..., h, w)."""

    @property
    @abc.abstractmethod
    def transformer(self) -> nn.Module:
        """The transformer, loaded at first use, frozen."""

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

    @abc.abstractmethod
    def target_pattern(self, targets: str) -> str:
        """Gives the regex (full match on module names) behind `attention`, `attention_mlp`, `all` or a regex."""
