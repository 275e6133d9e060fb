"""Which clips show what an adapter does: of prompts alone, or of a data set's clips with what is given of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import UInt8
from torch import Tensor

from loralab.data.video.clip import Clip
from loralab.data.video.records import ClipRecord
from loralab.data.video.references import ReferenceRules
from loralab.data.video.sizes import SAMPLE_RATE
from loralab.denoiser import ClipDenoiser
from loralab.errors import UserError, joined
from loralab.evaluation.video.drawing import ClipDrawing
from loralab.evaluation.video.rendering import DrawnClip
from loralab.evaluation.video.request import ClipRequest
from loralab.evaluation.video.size import ClipSize
from loralab.objectives.audio_video_flow import MODES

TRUTH = "truth"
"""Name of the column of true clips."""


@dataclass(frozen=True, kw_only=True)
class ClipPreviews:
    """Which clips are drawn after training.

    Attributes:
        mode: what is generated and what is given, as in `objective.mode`. Frames and sound that are given come from
            clips of the data set.
        prompts: what to draw; None takes clips of the data set, best those that training does not see.
        num_prompts: how many of those.
        seeds: every prompt is drawn once with each.
        num_snapshots: so many of the kept snapshots, evenly spaced, are drawn as well.
    """

    mode: str = "t2v"
    prompts: Sequence[str] | None = None
    num_prompts: int = 4
    seeds: Sequence[int] = (0,)
    num_snapshots: int = 0

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise UserError("no previews can be drawn so (evaluation=none for none):\n" + joined(problems))

    def _problems(self) -> Iterator[str]:
        key = "evaluation.previews."
        if self.prompts is not None and not self.prompts:
            yield f"{key}prompts=[] draws nothing: give prompts, or null for clips of the data set"
        if self.num_prompts < 1:
            yield f"{key}num_prompts={self.num_prompts} must be at least 1"
        if not self.seeds:
            yield f"{key}seeds=[] draws nothing: give at least one"
        if self.num_snapshots < 0:
            yield f"{key}num_snapshots={self.num_snapshots} must be at least 0"
        if self.mode not in MODES:
            yield f"{key}mode={self.mode} is none of {', '.join(MODES)}"
        elif self.prompts is not None and (self._gives_frame or "frozen" in (self._video, self._audio)):
            yield (
                f"{key}prompts have no frames and no sound to give, as {key}mode={self.mode} wants: set {key}mode=t2v"
                f" or t2av, or {key}prompts=null to take clips of the data set"
            )

    @property
    def _video(self) -> str:
        return MODES[self.mode].video

    @property
    def _audio(self) -> str:
        return MODES[self.mode].audio

    @property
    def _gives_frame(self) -> bool:
        return MODES[self.mode].first_frame > 0

    def requests(
        self,
        model: ClipDenoiser,
        *,
        shown: Sequence[ClipRecord],
        references: ReferenceRules | None,
        drawing: ClipDrawing,
    ) -> tuple[list[ClipRequest], list[DrawnClip]]:
        """Gives what to draw, and beside it the true clips where they are the data set's.

        Args:
            model: whose preview size prompts are drawn at; clips have that of their bucket.
            shown: clips of the data set.
            references: how their control videos are made; None where they have none.
            drawing: a size that comes before both.

        Raises:
            UserError: if no clip has what is to be given, or clips are too short.
        """
        if self.prompts is not None:
            size, has_audio = drawing.size(model), self._audio != "absent"
            return [ClipRequest(prompt=text, size=size, has_audio=has_audio) for text in self.prompts], []
        fitting = [record for record in shown if self._audio != "frozen" or record.clip.sound is not None]
        if not fitting:
            raise UserError(
                f"evaluation.previews.mode={self.mode}: no clip of the data set has sound to give. Set it to t2v."
            )
        requests, truths = [], []
        for index, record in enumerate(fitting[: self.num_prompts]):
            size = drawing.resized(own_size(record.clip))
            truth = _truth(record.clip, size, index=index)
            requests.append(self._request(record, truth, size=size, references=references))
            truths.append(truth)
        return requests, truths

    def _request(
        self, record: ClipRecord, truth: DrawnClip, *, size: ClipSize, references: ReferenceRules | None
    ) -> ClipRequest:
        return ClipRequest(
            prompt=record.prompts[0],
            size=size,
            has_audio=self._audio != "absent" and size.num_frames > 1,
            start=truth.frames[:1] if self._gives_frame else None,
            video=truth.frames if self._video == "frozen" else None,
            audio=truth.sound if self._audio == "frozen" else None,
            reference=None if references is None else _reference(record.clip, size, references),
        )


def own_size(clip: Clip) -> ClipSize:
    """Gives the size of a data set's clip as it is trained."""
    frames, height, width = clip.bucket
    return ClipSize(width=width, height=height, num_frames=frames, fps=clip.fps)


def _truth(clip: Clip, size: ClipSize, *, index: int) -> DrawnClip:
    """Gives the clip itself, at another size and shorter if that is asked for."""
    if size.num_frames > clip.bucket.frames or size.fps != clip.fps:
        raise UserError(
            f"evaluation.drawing asks for {size.num_frames} frames at {size.fps:g} per second, and a clip of the data"
            f" set has {clip.bucket.frames} at {clip.fps:g}. Leave num_frames and fps null, ask for fewer, or give"
            " evaluation.previews.prompts of your own."
        )
    sound = clip.audio()
    return DrawnClip(
        column=TRUTH,
        index=index,
        frames=clip.video.pixels(height=size.height, width=size.width)[: size.num_frames],
        fps=size.fps,
        sound=None if sound is None else sound[:, : round(size.seconds * SAMPLE_RATE)],
        sample_rate=SAMPLE_RATE,
    )


def _reference(clip: Clip, size: ClipSize, rules: ReferenceRules) -> UInt8[Tensor, " g y x 3"] | None:
    """Gives a clip's control video as it is trained with."""
    if not rules.covers(clip):
        return None
    if size != own_size(clip):
        raise UserError(
            "evaluation.drawing asks for another size than clips of the data set have, and their references fit those."
            " Leave width, height and num_frames null."
        )
    return rules.pixels(clip)
