"""What a run needs of any checkpoint, whatever its network draws: identity, device, transformer, layers, files."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn

    from loralab.memory import Placement
    from loralab.memory.plan import Blueprint, Tokens

Component = Literal["text_encoder", "vae", "audio_vae", "vocoder", "transformer"]
Guard = Callable[[str, Mapping[str, str], Mapping[str, Sequence[int]]], None]
"""Refuses an adapter file by its path, the text entries of its header and its tensors' shapes."""


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


def _all_fit(path: str, header: Mapping[str, str], shapes: Mapping[str, Sequence[int]]) -> None:
    """Refuses nothing: where layers fit, the adapter does."""


@dataclass(frozen=True)
class ForeignNames:
    """How other tools name this family's layers.

    Attributes:
        renamed: regex on their dotted module name -> replacement that gives ours (first match wins).
        fused: regex on their module name -> our module names, in the order in which the fused output is cut.
        guard: refuses files whose layers fit and whose base does not.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    fused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    guard: Guard = _all_fit


@dataclass(frozen=True, kw_only=True)
class SampleSize:
    """A training sample in pixels.

    Attributes:
        height, width: of the picture or clip; sides between two that a model can have count as the larger.
        frames: 1 for a picture.
        fps: frames per second of a clip.
        has_audio: its sound is there as well.
        reference: factors of a reference beside it (sides, frame rate), or None.
    """

    height: int
    width: int
    frames: int = 1
    fps: float = 1.0
    has_audio: bool = False
    reference: tuple[int, int] | None = None

    @property
    def num_pixels(self) -> int:
        """Counts the pixels of all frames."""
        return self.frames * self.height * self.width

    def __str__(self) -> str:
        sides = f"{self.height}x{self.width}"
        return sides if self.frames == 1 else f"{sides}, {self.frames} frames"


class Model(abc.ABC):
    """One checkpoint of one family. Loads lazily onto `device`."""

    family: str
    name: str
    variant: str
    export_prefix: str
    foreign_names: ForeignNames

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
    def tokens(self, size: SampleSize) -> Tokens:
        """Counts what the transformer sees of a sample and a usual prompt, as the planner does; reads configs only."""

    @abc.abstractmethod
    def num_tokens(self, latents_shape: Sequence[int]) -> int:
        """Counts the tokens that the transformer makes of latents of a shape, without those of prompt and sound."""

    @abc.abstractmethod
    def place(self, placement: Placement) -> None:
        """Sets where and how components are held from now on; others are dropped, with any adapter in them."""

    @abc.abstractmethod
    def release(self, component: Component) -> None:
        """Frees a component; a later use loads it again."""

    @property
    @abc.abstractmethod
    def transformer(self) -> nn.Module:
        """The transformer, loaded at first use, frozen."""

    @abc.abstractmethod
    def prompt_fingerprint(self) -> str:
        """Digests what embeddings depend on besides the prompt: encoder, tokenizer, template, layers, length."""

    @abc.abstractmethod
    def target_pattern(self, targets: str) -> str:
        """Gives the regex (full match on module names) behind `attention`, `attention_mlp`, `all` or a regex."""

    @abc.abstractmethod
    def exported_name(self, key: str) -> str:
        """Gives what other tools call a tensor of ours in an adapter file, without the prefix."""

    @abc.abstractmethod
    def export_header(self, *, reference: tuple[int, int] | None) -> Mapping[str, str]:
        """Gives what other tools look for in an adapter file's header.

        Args:
            reference: factors of the references that it was trained with (sides, frame rate), or None.
        """
