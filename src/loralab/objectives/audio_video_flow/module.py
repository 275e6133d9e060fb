"""Flow matching of clips: regress the velocities of video and sound, each at noise levels of its own.

    noisy = (1 - sigma) latents + sigma noise          where nothing is given; latents where they are
    error = mean over what is not given of |velocity - (noise - latents)|^2,        for each modality
    loss  = mean_i weight_i (weighting(sigma_i) error_video_i + audio_weight weighting(sigma'_i) error_audio_i)

A frozen modality is clean everywhere and has no error; an absent one is not there at all. Given are the first frame
(drawn for each clip), what masks say, and references. All randomness is a function of (seed, batch.index).
Vendor: ltx_trainer/training_strategies/flexible.py in Lightricks/LTX-2, whose sigmas are drawn for each modality by
itself as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.data.video import ClipBatch
from loralab.denoiser import ClipDenoiser
from loralab.flow import SigmaSampler, seeded_noise, seeded_uniform
from loralab.flow.weighting import Weighting
from loralab.objectives.audio_video_flow.errors import Noised, audio_noised, clip_errors, video_noised
from loralab.objectives.objective import (
    LOSS,
    OptimizerFactory,
    ScheduleFactory,
    fixed_noise,
    sent,
)
from loralab.objectives.regression import Regression

OFTEN = 0.5
"""Validation gives the first frame where training does in at least so many cases."""


@dataclass(frozen=True)
class Roles:
    """What video and sound are: `generate`, `frozen` or `absent`; and how often a first frame is given."""

    video: str
    audio: str
    first_frame: float = 0.0

    @property
    def has_video(self) -> bool:
        """Says whether the network sees video."""
        return self.video != "absent"

    @property
    def has_audio(self) -> bool:
        """Says whether the network hears sound."""
        return self.audio != "absent"


class Levels(NamedTuple):
    """Sigmas of each modality."""

    video: Float[Tensor, " b"]
    audio: Float[Tensor, " b"]


class AudioVideoTraining(Regression[ClipDenoiser]):
    """Trains the adapter inside a clip denoiser's transformer by flow matching."""

    def __init__(
        self,
        denoiser: ClipDenoiser,
        *,
        sigmas: SigmaSampler,
        weighting: Weighting,
        roles: Roles,
        shared_sigma: bool,
        audio_weight: float,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory,
        seed: int,
    ) -> None:
        """Takes a denoiser whose transformer already carries the adapter, which alone is optimised."""
        super().__init__(
            denoiser, sigmas=sigmas, weighting=weighting, optimizer=optimizer, schedule=schedule, seed=seed
        )
        self.roles = roles
        self._shared_sigma, self._weights = shared_sigma, {"video": 1.0, "audio": audio_weight}

    def training_step(self, batch: ClipBatch, batch_idx: int) -> dict[str, Any]:
        """Gives `loss`, which is minimised, `error`, the same without weights of samples and sigmas, and its parts."""
        levels = self._drawn_levels(batch)
        errors = clip_errors(
            self.denoiser,
            batch,
            video=self._video(batch, levels.video, noise=self._noise("noise", batch.video, batch.index)),
            audio=self._audio(
                batch, levels.audio, noise=self._noise("audio_noise", batch.audio, batch.index)
            ),
        )
        sigmas = levels._asdict()
        weighted = {
            part: self._weights[part] * self.weighting.weight(sigmas[part]) * error
            for part, error in errors.items()
        }
        loss = (batch.weight * self._summed(weighted)).mean()
        plain = {part: self._weights[part] * error.detach() for part, error in errors.items()}
        parts = {f"train/{part}": error.detach().mean() for part, error in errors.items()}
        signals = parts if len(parts) > 1 else {}
        return {"loss": loss, "error": self._summed(plain).mean(), "signals": signals}

    @torch.no_grad()
    def validation_errors(
        self, batch: ClipBatch, *, levels: Sequence[float]
    ) -> dict[str, Float[Tensor, " num_levels b"]]:
        """Gives each clip's error at each noise level, and where both are generated that of video and sound."""
        noise = self._fixed_noise("video", batch.video, batch)
        audio_noise = self._fixed_noise("audio", batch.audio, batch)
        found: dict[str, list[Tensor]] = {}
        for level in levels:
            sigma = torch.full((len(batch),), level, device=batch.video.device)
            errors = clip_errors(
                self.judged,
                batch,
                video=self._video(batch, sigma, noise=noise, fixed=True),
                audio=self._audio(batch, sigma, noise=audio_noise),
            )
            total = self._summed({part: self._weights[part] * error for part, error in errors.items()})
            for part, error in {LOSS: total, **(errors if len(errors) > 1 else {})}.items():
                found.setdefault(part, []).append(error)
        return {part: torch.stack(rows) for part, rows in found.items()}

    def _video(
        self, batch: ClipBatch, sigma: Float[Tensor, " b"], *, noise: Tensor | None, fixed: bool = False
    ) -> Noised | None:
        if not self.roles.has_video:
            return None
        is_given = self._first_frames(batch, fixed=fixed) if self.roles.first_frame else None
        role = self.roles.video
        return video_noised(batch, noise=noise, sigma=sigma, role=role, first_frames=is_given)

    def _audio(self, batch: ClipBatch, sigma: Float[Tensor, " b"], *, noise: Tensor | None) -> Noised | None:
        if not self.roles.has_audio:
            return None
        return audio_noised(batch, noise=noise, sigma=sigma, role=self.roles.audio)

    def _first_frames(self, batch: ClipBatch, *, fixed: bool) -> Tensor:
        """Says of each clip whether its first frame is given; a picture has no other and keeps it."""
        if batch.video.shape[2] == 1:
            chosen = torch.zeros(len(batch), dtype=torch.bool)
        elif fixed:
            chosen = torch.full((len(batch),), self.roles.first_frame >= OFTEN)
        else:
            drawn = seeded_uniform(len(batch), seed=self.seed, stream="first_frame", index=batch.index)
            chosen = drawn < self.roles.first_frame
        return sent(chosen, batch.video.device)

    def _drawn_levels(self, batch: ClipBatch) -> Levels:
        """Draws a sigma for each clip and modality, by the tokens of each; references do not count."""
        video = self._drawn("sigma", batch, num_tokens=self.denoiser.num_tokens(batch.video.shape))
        if self._shared_sigma or batch.audio is None:
            return Levels(video, video)
        return Levels(video, self._drawn("audio_sigma", batch, num_tokens=batch.audio.shape[2]))

    def _drawn(self, stream: str, batch: ClipBatch, *, num_tokens: int) -> Float[Tensor, " b"]:
        uniform = seeded_uniform(len(batch), seed=self.seed, stream=stream, index=batch.index)
        return sent(self.sigmas.quantile(uniform, num_tokens=num_tokens), batch.video.device)

    def _noise(self, stream: str, latents: Tensor | None, index: int) -> Tensor | None:
        if latents is None:
            return None
        drawn = seeded_noise(latents.shape, seed=self.seed, stream=stream, index=index)
        return sent(drawn, latents.device)

    def _fixed_noise(self, kind: str, latents: Tensor | None, batch: ClipBatch) -> Tensor | None:
        if latents is None:
            return None
        drawn = fixed_noise(latents.shape[1:], keys=batch.keys, stream=f"validation/{kind}")
        return sent(drawn, latents.device)

    @staticmethod
    def _summed(parts: dict[str, Float[Tensor, " b"]]) -> Float[Tensor, " b"]:
        return torch.stack(list(parts.values())).sum(0)
