"""What encoding clips asks of a model: the encoding half of a `ClipDenoiser`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class PromptEmbeds:
    """One prompt as a transformer's two streams attend to it, on the CPU in bf16.

    Attributes:
        video: for video; 1024 x 4096 in LTX-2.3.
        audio: for sound; 1024 x 2048 in LTX-2.3.
    """

    video: Float[Tensor, " l d_video"]
    audio: Float[Tensor, " l d_audio"]


@runtime_checkable
class ClipEncoders(Protocol):
    """Text encoder and VAEs of a model, loaded at first use."""

    @property
    def base_version(self) -> str:
        """Which weights: a cache of another version does not fit."""
        ...

    @property
    def prompt_widths(self) -> tuple[int, int]:
        """Widths of a prompt's embeddings for video and for sound."""
        ...

    def prompt_fingerprint(self) -> str:
        """Hex digest of everything that prompt embeddings depend on besides the prompt."""
        ...

    def video_fingerprint(self) -> str:
        """Hex digest of everything that video latents depend on besides the pixels."""
        ...

    def audio_fingerprint(self) -> str:
        """Hex digest of everything that audio latents depend on besides the sound."""
        ...

    def encode_prompts(self, prompts: Sequence[str]) -> list[PromptEmbeds]:
        """Embeds prompts, on the CPU."""
        ...

    def encode_video(self, pixels: Float[Tensor, " b 3 frames height width"]) -> Float[Tensor, " b c f h w"]:
        """Encodes pixels in [-1, 1] to normalised latents, on the CPU."""
        ...

    def encode_audio(self, waveform: Float[Tensor, " 2 samples"]) -> Float[Tensor, " c t m"]:
        """Encodes stereo sound at 16 kHz to normalised latents, on the CPU."""
        ...

    def video_latents_shape(self, *, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Gives (c, f, h, w) of a clip's latents."""
        ...

    def audio_latents_shape(self, *, seconds: float) -> tuple[int, int, int]:
        """Gives (c, t, m) of the latents of a sound."""
        ...

    def release(self, component: Literal["text_encoder", "vae", "audio_vae"]) -> None:
        """Frees a component."""
        ...
