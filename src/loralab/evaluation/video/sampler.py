"""Latents of a clip, drawn by Euler's method over video and sound together.

    noisy <- noisy + (after - sigma) (noisy - guided) / sigma        from sigma = 1 down to 0, one sigma for both

Noise comes from one generator on the CPU, `torch.Generator().manual_seed(seed)`, first the video's, then the sound's,
as diffusers' pipelines draw it when they are handed that generator: a clip depends on its seed only.
What is given (first frames, the whole video or the whole sound) is clean in every step and told as such; a reference
stands beside the video.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from loralab.data.video.encoders import PromptEmbeds
from loralab.denoiser import (
    AudioInput,
    ClipDenoiser,
    ClipReference,
    ClipVelocities,
    ModalityGuidance,
    VideoInput,
)
from loralab.evaluation.video.guidance import ISOLATED, NEGATIVE, PERTURBED, guided, passes
from loralab.evaluation.video.known import Known
from loralab.evaluation.video.size import ClipSize

Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How latents are drawn, with nothing left open.

    Attributes:
        sigmas: from 1 down to 0.
        video, audio: guidance of each modality.
        perturbed_blocks: whose self-attention is left out for guidance.
    """

    sigmas: Float[Tensor, " num_steps_plus_1"]
    video: ModalityGuidance
    audio: ModalityGuidance
    perturbed_blocks: tuple[int, ...] = ()


class ClipLatents(NamedTuple):
    """What was drawn, with what was given; fp32 on the CPU. `audio` is None where the clip is silent."""

    video: Float[Tensor, " 1 c f h w"]
    audio: Float[Tensor, " 1 c t m"] | None


@dataclass(frozen=True, kw_only=True)
class _Stream:
    """A modality on its way from noise to data."""

    noisy: Tensor
    prompt: Tensor
    negative: Tensor
    guidance: ModalityGuidance
    frozen: bool
    conditioned: Bool[Tensor, " 1 ..."] | None = None
    reference: ClipReference | None = None

    def stepped(self, velocities: Mapping[str, Tensor | None], *, sigma: float, after: float) -> _Stream:
        """Gives the stream one step later; velocities are those of each pass, None if it is frozen."""
        if self.frozen:
            return self
        estimates = {name: self._clean(velocity, sigma) for name, velocity in velocities.items()}
        beside = None if self.reference is None else self.reference.latents.to(self.noisy)
        velocity = (self.noisy - guided(estimates, self.guidance, beside=beside)) / sigma
        return dataclasses.replace(self, noisy=self._kept(self.noisy + (after - sigma) * velocity))

    def _clean(self, velocity: Tensor | None, sigma: float) -> Tensor:
        assert velocity is not None
        return self._kept(self.noisy - sigma * velocity)

    def _kept(self, changed: Tensor) -> Tensor:
        """Puts what is given back into its place."""
        if self.conditioned is None:
            return changed
        return torch.where(self.conditioned[:, None], self.noisy, changed)


@torch.no_grad()
def draw_latents(
    model: ClipDenoiser,
    *,
    prompt: PromptEmbeds,
    negative: PromptEmbeds | None,
    size: ClipSize,
    steps: Steps,
    seed: int,
    has_audio: bool,
    known: Known | None = None,
    progress: Progress | None = None,
) -> ClipLatents:
    """Draws one clip by whatever the transformer is at the moment.

    Args:
        model: what draws.
        prompt: from `model.encode_prompts`.
        negative: of the negative prompt, needed where a guidance scale is not 1.
        size: of the clip.
        steps: sigmas and guidance.
        seed: of the noise.
        has_audio: sound is drawn or given; without it the network gets none.
        known: what is given.
        progress: is told 1 after each step.

    Raises:
        ValueError: if nothing is left to draw, or guidance lacks its negative prompt.
    """
    known = known or Known()
    names = passes(_generated_guidances(steps, known, has_audio), has_both=has_audio)
    if NEGATIVE in names and negative is None:
        raise ValueError("guidance leads away from a negative prompt, of which no embeddings are given")
    video, audio = _started(
        model,
        prompt=prompt,
        negative=negative or prompt,
        size=size,
        steps=steps,
        seed=seed,
        known=known,
        has_audio=has_audio,
    )
    call = functools.partial(_velocities, model, fps=size.fps, blocks=steps.perturbed_blocks)
    for sigma, after in itertools.pairwise(steps.sigmas.tolist()):
        answers = {name: call(name, video, audio, sigma=sigma) for name in names}
        video = video.stepped(
            {name: found.video for name, found in answers.items()}, sigma=sigma, after=after
        )
        if audio is not None:
            audio = audio.stepped(
                {name: found.audio for name, found in answers.items()}, sigma=sigma, after=after
            )
        if progress is not None:
            progress(1)
    return ClipLatents(video.noisy.cpu(), None if audio is None else audio.noisy.cpu())


def seeded_clip_noise(
    model: ClipDenoiser, *, size: ClipSize, seed: int
) -> tuple[Float[Tensor, " 1 c f h w"], Float[Tensor, " 1 c_audio t m"]]:
    """Gives standard normal latents of video and sound from one seed, fp32 on the CPU."""
    random = torch.Generator().manual_seed(seed)
    video = model.video_latents_shape(frames=size.num_frames, height=size.height, width=size.width)
    audio = model.audio_latents_shape(seconds=size.seconds)
    return torch.randn((1, *video), generator=random), torch.randn((1, *audio), generator=random)


def _generated_guidances(steps: Steps, known: Known, has_audio: bool) -> list[ModalityGuidance]:
    found = [steps.video] if known.video is None else []
    return found + ([steps.audio] if has_audio and known.audio is None else [])


def _started(
    model: ClipDenoiser,
    *,
    prompt: PromptEmbeds,
    negative: PromptEmbeds,
    size: ClipSize,
    steps: Steps,
    seed: int,
    known: Known,
    has_audio: bool,
) -> tuple[_Stream, _Stream | None]:
    """Gives both modalities at sigma 1, with what is given in its place; None for sound that is absent."""
    noise, audio_noise = seeded_clip_noise(model, size=size, seed=seed)
    noisy, conditioned = noise if known.video is None else known.video, None
    if known.start is not None:
        length = known.start.shape[2]
        noisy = torch.cat([known.start, noisy[:, :, length:]], dim=2)
        conditioned = torch.zeros(1, *noisy.shape[2:], dtype=torch.bool)
        conditioned[:, :length] = True
    video = _Stream(
        noisy=noisy.to(model.device, torch.float32),
        prompt=prompt.video[None],
        negative=negative.video[None],
        guidance=steps.video,
        frozen=known.video is not None,
        conditioned=None if conditioned is None else conditioned.to(model.device),
        reference=known.reference,
    )
    if not has_audio:
        return video, None
    heard = audio_noise if known.audio is None else known.audio
    audio = _Stream(
        noisy=heard.to(model.device, torch.float32),
        prompt=prompt.audio[None],
        negative=negative.audio[None],
        guidance=steps.audio,
        frozen=known.audio is not None,
    )
    return video, audio


def _velocities(
    model: ClipDenoiser,
    name: str,
    video: _Stream,
    audio: _Stream | None,
    *,
    sigma: float,
    fps: float,
    blocks: tuple[int, ...],
) -> ClipVelocities:
    """Calls the network for the pass `name`."""
    told = torch.tensor([sigma], device=model.device)
    is_negative = name == NEGATIVE
    heard = None
    if audio is not None:
        heard = AudioInput(
            noisy=audio.noisy,
            prompt_embeds=audio.negative if is_negative else audio.prompt,
            sigma=None if audio.frozen else told,
        )
    return model.predict(
        video=VideoInput(
            noisy=video.noisy,
            fps=torch.tensor([fps], device=model.device, dtype=torch.float32),
            prompt_embeds=video.negative if is_negative else video.prompt,
            sigma=None if video.frozen else told,
            conditioned=video.conditioned,
            reference=video.reference,
        ),
        audio=heard,
        perturbed_blocks=blocks if name == PERTURBED else (),
        isolated=name == ISOLATED,
    )
