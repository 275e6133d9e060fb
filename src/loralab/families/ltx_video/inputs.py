"""From latents as `ClipDenoiser` has them to what the network is told: packed tokens with their positions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.denoiser import AudioInput, ClipReference, ClipVelocities, VideoInput
from loralab.families.ltx_video.network import Modality, Reference, Velocities
from loralab.families.ltx_video.positions import audio_bounds, reference_bounds, video_bounds
from loralab.families.ltx_video.tokens import Grid, pack_audio, pack_video, unpack_audio, unpack_video


def video_modality(video: VideoInput, *, device: torch.device, dtype: torch.dtype) -> Modality:
    """Gives video in the network's terms; prompts in `dtype`, all else in fp32."""
    fps = video.fps.to(device, torch.float32)
    grid = Grid(*video.noisy.shape[2:])
    reference = None if video.reference is None else _reference(video.reference, fps, device=device)
    return Modality(
        tokens=pack_video(video.noisy.to(device, torch.float32)),
        bounds=video_bounds(grid, fps),
        prompt_embeds=video.prompt_embeds.to(device, dtype),
        sigma=_on(video.sigma, device),
        conditioned=None if video.conditioned is None else video.conditioned.to(device).flatten(1),
        reference=reference,
    )


def audio_modality(audio: AudioInput, *, device: torch.device, dtype: torch.dtype) -> Modality:
    """Gives sound in the network's terms; prompts in `dtype`, all else in fp32."""
    tokens = pack_audio(audio.noisy.to(device, torch.float32))
    return Modality(
        tokens=tokens,
        bounds=audio_bounds(tokens.shape[1], batch_size=len(tokens), device=device),
        prompt_embeds=audio.prompt_embeds.to(device, dtype),
        sigma=_on(audio.sigma, device),
        conditioned=None if audio.conditioned is None else audio.conditioned.to(device),
    )


def as_latents(
    velocities: Velocities, *, video: VideoInput | None, audio: AudioInput | None
) -> ClipVelocities:
    """Puts the answer's tokens back into the places of the latents that were given."""
    seen = heard = None
    if velocities.video is not None:
        assert video is not None
        seen = unpack_video(velocities.video, Grid(*video.noisy.shape[2:]))
    if velocities.audio is not None:
        assert audio is not None
        heard = unpack_audio(velocities.audio, channels=audio.noisy.shape[1])
    return ClipVelocities(seen, heard)


def _reference(reference: ClipReference, fps: Float[Tensor, " b"], *, device: torch.device) -> Reference:
    latents = reference.latents.to(device, torch.float32)
    bounds = reference_bounds(
        Grid(*latents.shape[2:]),
        fps,
        spatial_factor=reference.spatial_factor,
        temporal_factor=reference.temporal_factor,
    )
    return Reference(tokens=pack_video(latents), bounds=bounds)


def _on(sigma: Float[Tensor, " b"] | None, device: torch.device) -> Float[Tensor, " b"] | None:
    return None if sigma is None else sigma.to(device, torch.float32)
