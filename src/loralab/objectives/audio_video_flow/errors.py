"""From a batch of clips to what the network is given, and from its answer to each clip's error in each modality."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from loralab.data.video import ClipBatch
from loralab.denoiser import AudioInput, ClipDenoiser, ClipReference, VideoInput
from loralab.flow import interpolate, target_velocity
from loralab.objectives.loss import velocity_loss

GIVEN = 0.5
"""A latent of which masks cover more than this is given as a whole, as in the vendor's trainer."""


@dataclass(frozen=True, kw_only=True)
class Noised:
    """One modality at its noise level.

    Attributes:
        noisy: latents at sigma; clean where given, and everywhere if it is frozen.
        sigma: None if it is frozen.
        given: which positions are given; None for none.
        target: noise - latents; None if it is frozen.
    """

    noisy: Float[Tensor, " b c ..."]
    sigma: Float[Tensor, " b"] | None = None
    given: Bool[Tensor, " b ..."] | None = None
    target: Float[Tensor, " b c ..."] | None = None


def video_noised(
    batch: ClipBatch,
    *,
    noise: Float[Tensor, " b c f h w"] | None,
    sigma: Float[Tensor, " b"],
    role: str,
    first_frames: Bool[Tensor, " b"] | None,
) -> Noised:
    """Gives a batch's video; `first_frames` says of which clips the first frame is given."""
    if role == "frozen":
        return Noised(noisy=batch.video)
    assert noise is not None
    given = None if batch.video_given is None else batch.video_given > GIVEN
    if first_frames is not None:
        given = torch.zeros_like(batch.video[:, 0], dtype=torch.bool) if given is None else given
        is_first = torch.arange(given.shape[1], device=given.device) == 0
        given = given | (first_frames[:, None] & is_first)[:, :, None, None]
    return _noised(batch.video, noise, sigma=sigma, given=given)


def audio_noised(
    batch: ClipBatch, *, noise: Float[Tensor, " b c t m"] | None, sigma: Float[Tensor, " b"], role: str
) -> Noised:
    """Gives a batch's sound."""
    assert batch.audio is not None
    if role == "frozen":
        return Noised(noisy=batch.audio)
    assert noise is not None
    given = None if batch.audio_given is None else batch.audio_given > GIVEN
    return _noised(batch.audio, noise, sigma=sigma, given=given)


def clip_errors(
    denoiser: ClipDenoiser, batch: ClipBatch, *, video: Noised | None, audio: Noised | None
) -> dict[str, Float[Tensor, " b"]]:
    """Gives each clip's flow-matching error of what is generated, where nothing is given, by modality."""
    answer = denoiser.predict(video=_seen(batch, video), audio=_heard(batch, audio))
    errors = {}
    if video is not None and video.target is not None:
        assert answer.video is not None
        mask = None if video.given is None else ~video.given[:, None].flatten(2, 3)
        errors["video"] = _error(answer.video.flatten(2, 3), video.target.flatten(2, 3), mask)
    if audio is not None and audio.target is not None:
        assert answer.audio is not None
        mask = None if audio.given is None else ~audio.given[:, None, :, None]
        errors["audio"] = _error(answer.audio, audio.target, mask)
    return errors


def _noised(
    latents: Float[Tensor, " b c ..."],
    noise: Float[Tensor, " b c ..."],
    *,
    sigma: Float[Tensor, " b"],
    given: Bool[Tensor, " b ..."] | None,
) -> Noised:
    noisy = interpolate(latents, noise, sigma)
    if given is not None:
        places = given[:, None]
        places = (
            places if places.ndim == noisy.ndim else places[..., None]
        )  # a sound's are given in all its bins
        noisy = torch.where(places, latents, noisy)
    return Noised(noisy=noisy, sigma=sigma, given=given, target=target_velocity(latents, noise))


def _seen(batch: ClipBatch, video: Noised | None) -> VideoInput | None:
    if video is None:
        return None
    reference = None
    if batch.reference is not None:
        spatial, temporal = batch.reference_factors
        reference = ClipReference(latents=batch.reference, spatial_factor=spatial, temporal_factor=temporal)
    return VideoInput(
        noisy=video.noisy,
        fps=batch.fps,
        prompt_embeds=batch.video_embeds,
        sigma=video.sigma,
        conditioned=video.given,
        reference=reference,
    )


def _heard(batch: ClipBatch, audio: Noised | None) -> AudioInput | None:
    if audio is None:
        return None
    return AudioInput(
        noisy=audio.noisy, prompt_embeds=batch.audio_embeds, sigma=audio.sigma, conditioned=audio.given
    )


def _error(
    velocity: Float[Tensor, " b c h w"],
    target: Float[Tensor, " b c h w"],
    mask: Bool[Tensor, " b 1 h #w"] | None,
) -> Float[Tensor, " b"]:
    """A clip of which everything is given has the error 0."""
    if mask is None:
        return velocity_loss(velocity, target)
    learned = mask.expand(-1, -1, *velocity.shape[2:]).float()
    return velocity_loss(velocity, target, mask=learned)
