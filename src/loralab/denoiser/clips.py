"""Models of video and sound, in the same convention: sigma is 0 for data and 1 for noise, velocity = noise - data.

Each modality is generated (it has a sigma and a velocity is predicted), frozen (given as it is, sigma None) or absent
(None in its place). Latents that are conditioned, and references, are clean: the network is told 0 of them, and what is
predicted for them means nothing.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from loralab.data.video.encoders import PromptEmbeds
from loralab.denoiser.model import Model

if TYPE_CHECKING:
    from loralab.memory.plan import Blueprint


@dataclass(frozen=True, kw_only=True)
class ModalityGuidance:
    """How one modality is guided, on estimates of the clean latents.

    with  c  the conditional estimate,  u  that of the negative prompt,  p  that whose self-attention is left out in
    some blocks,  i  that without attention between the modalities:

        guided = c + (scale - 1) (c - u) + perturbed (c - p) + (modality - 1) (c - i)
        rescaled by  rescale std(c) / std(guided) + 1 - rescale

    Attributes:
        scale: 1 is off. perturbed: 0 is off. modality: 1 is off. rescale: 0 is off.
    """

    scale: float = 1.0
    perturbed: float = 0.0
    modality: float = 1.0
    rescale: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ClipSampling:
    """How a checkpoint is meant to be sampled.

    Attributes:
        num_steps: solver steps of the preview.
        width, height, num_frames, fps: of the preview.
        sigmas: the checkpoint's own noise levels, from 1 to 0; None has them from its scheduler.
        video, audio: guidance of each modality.
        perturbed_blocks: blocks whose self-attention is left out for `ModalityGuidance.perturbed`.
        negative_prompt: what guidance leads away from.
    """

    num_steps: int
    width: int
    height: int
    num_frames: int
    fps: float
    sigmas: Sequence[float] | None = None
    video: ModalityGuidance = ModalityGuidance()
    audio: ModalityGuidance = ModalityGuidance()
    perturbed_blocks: Sequence[int] = ()
    negative_prompt: str = ""


@dataclass(frozen=True, kw_only=True)
class ClipReference:
    """A clean clip beside the target, such as a control video (IC-LoRA).

    Attributes:
        latents: of the reference.
        spatial_factor: how many times smaller its sides are than the target's.
        temporal_factor: how many times lower its frame rate is.
    """

    latents: Float[Tensor, " b c g y x"]
    spatial_factor: int = 1
    temporal_factor: int = 1


@dataclass(frozen=True, kw_only=True)
class VideoInput:
    """Video as it is given to the network.

    Attributes:
        noisy: latents at `sigma`; clean where `conditioned`, and everywhere where sigma is None.
        fps: frames per second of each clip.
        prompt_embeds: of each prompt, for video.
        sigma: noise level of each clip; None if the video is frozen.
        conditioned: which latent positions are clean.
        reference: a clip to attend to besides.
    """

    noisy: Float[Tensor, " b c f h w"]
    fps: Float[Tensor, " b"]
    prompt_embeds: Float[Tensor, " b l d"]
    sigma: Float[Tensor, " b"] | None = None
    conditioned: Bool[Tensor, " b f h w"] | None = None
    reference: ClipReference | None = None


@dataclass(frozen=True, kw_only=True)
class AudioInput:
    """Sound as it is given to the network; fields as in `VideoInput`."""

    noisy: Float[Tensor, " b c t m"]
    prompt_embeds: Float[Tensor, " b l d"]
    sigma: Float[Tensor, " b"] | None = None
    conditioned: Bool[Tensor, " b t"] | None = None


class ClipVelocities(NamedTuple):
    """noise - data of what is generated, fp32; None for what is frozen or absent."""

    video: Float[Tensor, " b c f h w"] | None
    audio: Float[Tensor, " b c t m"] | None


class ClipDenoiser(Model):
    """One checkpoint of a family of video and sound: encodes, predicts velocities, decodes."""

    sampling: ClipSampling
    base_version: str
    """Which weights: adapters and caches of another version do not fit."""

    @abc.abstractmethod
    def blueprint(self, *, has_audio: bool = True) -> Blueprint:
        """Gives the networks on the meta device, for the planner; reads configs only.

        Args:
            has_audio: whether sound is given to the transformer; else what only sound needs may be left out.
        """

    @abc.abstractmethod
    def expect(self, *, has_audio: bool, adapters: Sequence[str | Path] = ()) -> None:
        """Says what the transformer will be asked for, from its next use on; before, everything is expected.

        Args:
            has_audio: whether sound is given to it; else what only sound needs may be left out.
            adapters: files that will be attached: the layers that they adapt are kept.
        """

    @property
    @abc.abstractmethod
    def prompt_widths(self) -> tuple[int, int]:
        """Widths of a prompt's embeddings for video and for sound; reads configs only."""

    @abc.abstractmethod
    def video_fingerprint(self) -> str:
        """Digests what video latents depend on besides the pixels."""

    @abc.abstractmethod
    def audio_fingerprint(self) -> str:
        """Digests what audio latents depend on besides the sound."""

    @abc.abstractmethod
    def encode_prompts(self, prompts: Sequence[str]) -> list[PromptEmbeds]:
        """Embeds prompts, on the CPU; all are of one length and every token counts."""

    @abc.abstractmethod
    def encode_video(self, pixels: Float[Tensor, " b 3 frames height width"]) -> Float[Tensor, " b c f h w"]:
        """Encodes pixels in [-1, 1] to normalised latents (posterior mode), fp32 on the CPU."""

    @abc.abstractmethod
    def decode_video(self, latents: Float[Tensor, " b c f h w"]) -> Float[Tensor, " b 3 frames height width"]:
        """Decodes normalised latents to pixels in [-1, 1], fp32 on the CPU."""

    @abc.abstractmethod
    def encode_audio(self, waveform: Float[Tensor, " 2 samples"]) -> Float[Tensor, " c t m"]:
        """Encodes stereo sound in [-1, 1] at 16 kHz to normalised latents, fp32 on the CPU."""

    @abc.abstractmethod
    def decode_audio(self, latents: Float[Tensor, " c t m"]) -> tuple[Float[Tensor, " 2 samples"], int]:
        """Decodes normalised latents to stereo sound in [-1, 1] on the CPU, and says its samples per second."""

    @abc.abstractmethod
    def video_latents_shape(self, *, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Gives (c, f, h, w) of a clip's latents; reads configs only.

        Raises:
            UserError: if a clip cannot have this size.
        """

    @abc.abstractmethod
    def audio_latents_shape(self, *, seconds: float) -> tuple[int, int, int]:
        """Gives (c, t, m) of the latents of a sound; reads configs only."""

    @abc.abstractmethod
    def predict(
        self,
        *,
        video: VideoInput | None = None,
        audio: AudioInput | None = None,
        perturbed_blocks: Sequence[int] = (),
        isolated: bool = False,
    ) -> ClipVelocities:
        """Predicts the velocities of what is generated, fp32, differentiable with respect to the adapter.

        Args:
            video: None if it is absent.
            audio: None if it is absent: then no layer of the audio branch has any effect.
            perturbed_blocks: blocks that pass values on in the place of self-attention, for guidance.
            isolated: no attention between the modalities, for guidance.

        Raises:
            ValueError: if neither is generated.
        """

    @abc.abstractmethod
    def sampling_sigmas(self, *, num_steps: int, num_tokens: int) -> Float[Tensor, " num_steps_plus_1"]:
        """Gives the sigmas from 1 down to 0 that the checkpoint's own pipeline would take."""

    @abc.abstractmethod
    def trained_pattern(self, targets: str, *, has_video: bool, has_audio: bool) -> str:
        """Gives `target_pattern`, of which names for the whole network leave out what an absent modality's layers are.

        Args:
            targets: as typed.
            has_video: whether video is given to the network, generated or frozen.
            has_audio: whether sound is.
        """

    @abc.abstractmethod
    def require_trainable_layers(
        self, names: Sequence[str], targets: str, *, has_video: bool, has_audio: bool
    ) -> None:
        """Refuses an adapter of which a part would learn nothing, since its modality is absent.

        Args:
            names: the layers that it is on.
            targets: what was typed to choose them.
            has_video: whether video is given to the network, generated or frozen.
            has_audio: whether sound is.
        """

    @abc.abstractmethod
    def reference_factors(self, adapters: Sequence[str | Path]) -> tuple[int, int]:
        """Gives how many times smaller and slower references of these adapter files are; (1, 1) where none says.

        Raises:
            UserError: if two of them disagree, so that they cannot be used together.
        """
