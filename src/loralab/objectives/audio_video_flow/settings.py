"""Settings of flow matching on clips: a mode names what video and sound are, and what is typed beside it wins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loralab.denoiser import ClipDenoiser, Model
from loralab.errors import UserError, joined
from loralab.flow import SigmaSampler
from loralab.flow.weighting import Weighting
from loralab.objectives.audio_video_flow.module import AudioVideoTraining, Roles

if TYPE_CHECKING:
    from loralab.objectives.objective import OptimizerFactory, ScheduleFactory

ROLES = ("generate", "frozen", "absent")
MODES = {
    "t2v": Roles(video="generate", audio="absent"),
    "i2v": Roles(video="generate", audio="absent", first_frame=0.5),
    "t2av": Roles(video="generate", audio="generate"),
    "i2av": Roles(video="generate", audio="generate", first_frame=0.5),
    "a2v": Roles(video="generate", audio="frozen"),
    "v2a": Roles(video="frozen", audio="generate"),
}
"""Text to video, image to video, text to both, image to both, sound to video, video to sound. The vendor's trainer
conditions half of the samples on the first frame for image to video."""


@dataclass(frozen=True, kw_only=True)
class AudioVideoFlow:
    """Flow matching on clips; every field is a key `objective.<field>`.

    Attributes:
        sigmas: noise levels of each modality, by its own number of tokens.
        weighting: of noise levels in the loss.
        mode: one of `MODES`.
        video, audio: `generate`, `frozen` (given, nothing is predicted) or `absent`; None is the mode's.
        first_frame: probability that a clip's first frame is given; None is the mode's.
        shared_sigma: sound has the video's noise level instead of one of its own.
        audio_weight: of the sound's error in the loss, beside the video's 1.
    """

    sigmas: SigmaSampler
    weighting: Weighting
    mode: str = "t2v"
    video: str | None = None
    audio: str | None = None
    first_frame: float | None = None
    shared_sigma: bool = False
    audio_weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuses values that cannot work, all at once."""
        if problems := list(self._problems()):
            raise UserError("the objective cannot be set up so:\n" + joined(problems))

    @property
    def roles(self) -> Roles:
        """What video and sound are, and how often a first frame is given."""
        mode = MODES[self.mode]
        return Roles(
            video=self.video or mode.video,
            audio=self.audio or mode.audio,
            first_frame=mode.first_frame if self.first_frame is None else self.first_frame,
        )

    @property
    def has_audio(self) -> bool:
        """Says whether sound is read."""
        return self.roles.has_audio

    def __call__(
        self, denoiser: Model, *, optimizer: OptimizerFactory, schedule: ScheduleFactory, seed: int
    ) -> AudioVideoTraining:
        """Gives the objective on a model whose transformer already carries the adapter."""
        assert isinstance(denoiser, ClipDenoiser)
        return AudioVideoTraining(
            denoiser,
            sigmas=self.sigmas,
            weighting=self.weighting,
            roles=self.roles,
            shared_sigma=self.shared_sigma,
            audio_weight=self.audio_weight,
            optimizer=optimizer,
            schedule=schedule,
            seed=seed,
        )

    def _problems(self) -> Iterator[str]:
        if self.mode not in MODES:
            yield f"objective.mode={self.mode} is none of {', '.join(MODES)}"
            return
        for name, role in (("video", self.video), ("audio", self.audio)):
            if role is not None and role not in ROLES:
                yield f"objective.{name}={role} is none of {', '.join(ROLES)}"
        roles = self.roles
        if "generate" not in (roles.video, roles.audio):
            yield (
                f"objective.video={roles.video} and objective.audio={roles.audio} generate nothing; one of them must "
                "be generate"
            )
        if not 0 <= roles.first_frame <= 1:
            yield f"objective.first_frame={roles.first_frame} is outside [0, 1]: it is a probability"
        if roles.first_frame and roles.video != "generate":
            yield f"objective.first_frame={roles.first_frame} has no effect with video {roles.video}; set it to 0"
        both = (roles.video, roles.audio) == ("generate", "generate")
        if not both and (self.shared_sigma or self.audio_weight != 1):
            yield "objective.shared_sigma and .audio_weight have no effect unless video and audio are generated"
        if not self.audio_weight > 0:
            yield f"objective.audio_weight={self.audio_weight} must be above 0; audio=absent leaves sound out"
