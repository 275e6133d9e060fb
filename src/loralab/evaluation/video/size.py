"""Sizes of clips that can be drawn."""

from __future__ import annotations

from dataclasses import dataclass

from loralab.data.video.sizes import FRAMES_PER_LATENT, bucket_problems
from loralab.denoiser import ClipDenoiser
from loralab.errors import UserError, joined, nearest


@dataclass(frozen=True, kw_only=True)
class ClipSize:
    """Pixels, frames and rate of a clip.

    Attributes:
        width, height: pixels.
        num_frames: how many frames.
        fps: frames per second.
    """

    width: int
    height: int
    num_frames: int
    fps: float

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.num_frames / self.fps

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.num_frames}"

    def require(self, model: ClipDenoiser, *, key: str, factors: tuple[int, int] = (1, 1)) -> None:
        """Refuses a size that the model, or a smaller reference beside it, cannot have.

        Args:
            model: what shall draw.
            key: what was typed to get this size, for the message.
            factors: how many times smaller and slower a reference is.

        Raises:
            UserError: with everything that is wrong and the nearest sizes that are right.
        """
        spatial, temporal = factors
        problems = list(bucket_problems(str(self), key=key, multiple=model.size_multiple * spatial))
        stride = FRAMES_PER_LATENT * temporal
        if not problems and temporal > 1 and (self.num_frames - 1) % stride:
            choices = nearest(self.num_frames, step=stride, rest=1)
            problems.append(
                f"{key}={self}: its references are {temporal} times slower; take {choices} frames"
            )
        if self.fps <= 0:
            problems.append(f"fps={self.fps} must be above 0")
        if problems:
            raise UserError("no clip can be drawn in this size:\n" + joined(problems))
