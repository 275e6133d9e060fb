"""LTX-Video 2.3 as a `ClipDenoiser`.

Its network is told 1000 sigma for each token and answers noise - data, on packed latents; video and sound stand in two
streams that attend to each other (`network`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.adapter.reading import read_header, read_shapes
from loralab.data.video.encoders import PromptEmbeds
from loralab.denoiser import (
    AudioInput,
    ClipDenoiser,
    ClipSampling,
    ClipVelocities,
    ForeignNames,
    ModelIdentity,
    SampleSize,
    VideoInput,
)
from loralab.families.ltx_video import components as ltx
from loralab.families.ltx_video.encoders import audio as sound
from loralab.families.ltx_video.encoders import text
from loralab.families.ltx_video.encoders import video as frames_of
from loralab.families.ltx_video.guards import OURS, require_adapter_file
from loralab.families.ltx_video.inputs import as_latents, audio_modality, video_modality
from loralab.families.ltx_video.names import EXPORT_PREFIX, FOREIGN_NAMES, vendor_name
from loralab.families.ltx_video.network import predict
from loralab.families.ltx_video.reference import ReferenceFactors, require_equal_factors
from loralab.families.ltx_video.sigmas import checkpoint_sigmas
from loralab.families.ltx_video.targets import TARGETS, adapts_audio, require_no_idle_layers, used_pattern
from loralab.families.ltx_video.tokens import grid_of, reference_grid
from loralab.families.shared.checkpoint import Checkpoint
from loralab.families.shared.components import Components
from loralab.families.shared.loaded import Loaded
from loralab.families.shared.targets import pattern_for
from loralab.memory.plan import Blueprint, Tokens


class LtxVideo(Loaded, ClipDenoiser):
    """An LTX-Video 2.3 checkpoint; all sizes come from its component configs."""

    family = "ltx_video"
    base_version = OURS
    export_prefix = EXPORT_PREFIX

    def __init__(
        self,
        *,
        name: str,
        checkpoint: str,
        sampling: ClipSampling,
        revision: str | None = None,
        variant: Literal["base", "distilled"] = "base",
        max_prompt_length: int = text.MAX_LENGTH,
        assume_base: str | float | None = None,
    ) -> None:
        """Names a checkpoint; nothing is read before it is needed.

        Args:
            name: the model's name in `conf/model`.
            checkpoint: folder, hub id or `package://` address.
            sampling: the checkpoint's own preview settings.
            revision: branch, tag or commit of a hub id.
            variant: `base` is trained by velocity regression and guided; `distilled` is drawn in 8 unguided steps.
            max_prompt_length: tokens that prompts are padded and cut to.
            assume_base: what adapters that do not say their version are taken for; None refuses them.
        """
        self.name, self.variant, self.sampling = name, variant, sampling
        self.max_prompt_length = max_prompt_length
        guard = functools.partial(require_adapter_file, assume_base=assume_base)
        self.foreign_names = ForeignNames(renamed=FOREIGN_NAMES.renamed, guard=guard)
        self._checkpoint = Checkpoint(checkpoint, revision, pipeline="LTX2Pipeline")

    @functools.cached_property
    def checkpoint(self) -> Checkpoint:
        """Where its files are; checked to be of our version and, for a base, not distilled."""
        ltx.require_fitting(self._checkpoint, model=self.name, variant=self.variant)
        return self._checkpoint

    @functools.cached_property
    def _components(self) -> Components:  # type: ignore[override]  # a cached property can be set
        return Components(self.checkpoint, ltx.LOADERS)

    @functools.cached_property
    def _tokenizer(self) -> Any:
        return text.load_tokenizer(self.checkpoint.files("tokenizer"))

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self._components.device

    @property
    def size_multiple(self) -> int:
        """Pixels per token side: the VAE's factor."""
        return int(self.checkpoint.config("vae")["spatial_compression_ratio"])

    @property
    def prompt_widths(self) -> tuple[int, int]:
        """Widths of the two connectors' outputs."""
        config = self.checkpoint.config("transformer")
        return int(config["cross_attention_dim"]), int(config["audio_cross_attention_dim"])

    def identity(self) -> ModelIdentity:
        """Says which base this is."""
        return self._components.identity(family=self.family, model=self.name, variant=self.variant)

    def blueprint(self, *, has_audio: bool = True) -> Blueprint:
        """Gives the networks without weights."""
        return ltx.blueprint(self.checkpoint, prompt_tokens=self.max_prompt_length, has_audio=has_audio)

    def expect(self, *, has_audio: bool, adapters: Sequence[str | Path] = ()) -> None:
        """Leaves the audio branch unread where nothing needs it."""
        is_whole = has_audio or any(adapts_audio(read_shapes(path)[1]) for path in adapters)
        loader = ltx.load_transformer if is_whole else ltx.load_video_transformer
        self._components.load_by("transformer", loader)

    def tokens(self, size: SampleSize) -> Tokens:
        """Counts the latents of a clip, its reference and its sound."""
        grid = grid_of(width=size.width, height=size.height, num_frames=size.frames)
        seen = grid.num_tokens
        if size.reference is not None:
            spatial, temporal = size.reference
            seen += reference_grid(grid, spatial_factor=spatial, temporal_factor=temporal).num_tokens
        heard = self.audio_latents_shape(seconds=size.frames / size.fps)[1] if size.has_audio else 0
        return Tokens(picture=seen, prompt=self.max_prompt_length, audio=heard, prompt_is_apart=True)

    def num_tokens(self, latents_shape: Sequence[int]) -> int:
        """Counts latent positions of video of shape (..., f, h, w): each is a token."""
        return math.prod(latents_shape[-3:])

    def prompt_fingerprint(self) -> str:
        """Digests Gemma, connectors, tokenizer, length and precision."""
        placement = self._components.placement
        return text.prompt_fingerprint(self.checkpoint, placement, max_length=self.max_prompt_length)

    def video_fingerprint(self) -> str:
        """Digests the video VAE with its statistics and tiles."""
        return frames_of.video_fingerprint(self.checkpoint)

    def audio_fingerprint(self) -> str:
        """Digests the audio VAE with its statistics and the spectrogram."""
        return sound.audio_fingerprint(self.checkpoint)

    def encode_prompts(self, prompts: Sequence[str]) -> list[PromptEmbeds]:
        """Embeds prompts one by one, at the connectors' outputs."""
        encoder = self._components.get("text_encoder")
        encode = functools.partial(text.encode_prompt, encoder, self._tokenizer)
        return [encode(prompt=prompt, max_length=self.max_prompt_length) for prompt in prompts]

    def encode_video(self, pixels: Float[Tensor, " b 3 frames height width"]) -> Float[Tensor, " b c f h w"]:
        """Encodes clips one by one, large ones in tiles."""
        return frames_of.encode_video(self._components.get("vae"), pixels)

    def decode_video(self, latents: Float[Tensor, " b c f h w"]) -> Float[Tensor, " b 3 frames height width"]:
        """Decodes clips one by one, large ones in tiles."""
        return frames_of.decode_video(self._components.get("vae"), latents)

    def encode_audio(self, waveform: Float[Tensor, " 2 samples"]) -> Float[Tensor, " c t m"]:
        """Encodes a sound by way of its log-mel spectrogram."""
        return sound.encode_audio(self._components.get("audio_vae"), waveform)

    def decode_audio(self, latents: Float[Tensor, " c t m"]) -> tuple[Float[Tensor, " 2 samples"], int]:
        """Decodes a sound by VAE and vocoder, at 48 kHz in LTX-2.3."""
        vocoder = self._components.get("vocoder")
        waveform = sound.decode_audio(self._components.get("audio_vae"), vocoder, latents)
        return waveform, sound.vocoder_rate(vocoder)

    def video_latents_shape(self, *, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Gives (c, f, h, w) of the video VAE's latents."""
        config = self.checkpoint.config("vae")
        return frames_of.latents_shape(config, frames=frames, height=height, width=width)

    def audio_latents_shape(self, *, seconds: float) -> tuple[int, int, int]:
        """Gives (c, t, m) of the audio VAE's latents."""
        config = self.checkpoint.config("audio_vae")
        log_mel = sound.log_mel_of(config)
        num_latents = sound.num_latents(round(seconds * log_mel.sample_rate), log_mel)
        return config["latent_channels"], num_latents, log_mel.num_bins // sound.FRAMES_PER_LATENT

    @property
    def transformer(self) -> nn.Module:
        """The transformer, loaded at first use, frozen."""
        network: nn.Module = self._components.get("transformer")
        return network

    def predict(
        self,
        *,
        video: VideoInput | None = None,
        audio: AudioInput | None = None,
        perturbed_blocks: Sequence[int] = (),
        isolated: bool = False,
    ) -> ClipVelocities:
        """Predicts noise - data: latents are packed, placed and told their timesteps here and nowhere else."""
        where: dict[str, Any] = {"device": self.device, "dtype": self._components.dtype}
        transformer = self.transformer
        with self._components.autocast():
            velocities = predict(
                transformer,
                video=None if video is None else video_modality(video, **where),
                audio=None if audio is None else audio_modality(audio, **where),
                perturbed_blocks=perturbed_blocks,
                isolated=isolated,
            )
        return as_latents(velocities, video=video, audio=audio)

    def sampling_sigmas(self, *, num_steps: int, num_tokens: int) -> Float[Tensor, " num_steps_plus_1"]:
        """Gives the sigmas of the checkpoint's own list, or of its scheduler at this number of tokens."""
        scheduler = self.checkpoint.config("scheduler")
        return checkpoint_sigmas(self.sampling, scheduler, num_steps=num_steps, num_tokens=num_tokens)

    def target_pattern(self, targets: str) -> str:
        """Gives the pattern of layer names behind `targets`."""
        return pattern_for(targets, TARGETS)

    def trained_pattern(self, targets: str, *, has_video: bool, has_audio: bool) -> str:
        """Gives the pattern of layer names, without idle ones where `targets` names the whole network's."""
        return used_pattern(self.target_pattern(targets), targets, has_video=has_video, has_audio=has_audio)

    def require_trainable_layers(
        self, names: Sequence[str], targets: str, *, has_video: bool, has_audio: bool
    ) -> None:
        """Refuses targets of which a part gets no gradient."""
        require_no_idle_layers(names, targets, has_video=has_video, has_audio=has_audio)

    def exported_name(self, key: str) -> str:
        """Gives the vendor's name, which ComfyUI and diffusers read."""
        return vendor_name(key)

    def export_header(self, *, reference: tuple[int, int] | None) -> Mapping[str, str]:
        """Gives the version of the base, and the factors of references where there were any."""
        factors = {} if reference is None else ReferenceFactors(*reference).to_header()
        return {"base_model_version": OURS, **factors}

    def reference_factors(self, adapters: Sequence[str | Path]) -> tuple[int, int]:
        """Gives the factors that the headers of adapter files agree on."""
        factors = require_equal_factors({str(path): read_header(path) for path in adapters})
        return factors.spatial, factors.temporal
