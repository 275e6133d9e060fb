"""Where points are in each frame, in shares of the picture: x from the left edge (0) to the right (1), y downwards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from loralab.data.control.splines import sample_spline
from loralab.errors import UserError


@dataclass(frozen=True)
class SampledTracks:
    """Tracks as they are drawn: a point for each of k tracks in each of f frames.

    Attributes:
        points: (x, y) in shares of the picture.
        visible: whether the point can be seen in that frame; where it cannot, `points` means nothing.
    """

    points: Float[np.ndarray, " k f 2"]
    visible: Bool[np.ndarray, " k f"]


class Track(ABC):
    """The way of one point."""

    @abstractmethod
    def sampled(self, num_frames: int) -> tuple[Float[np.ndarray, " f 2"], Bool[np.ndarray, " f"]]:
        """Gives the point's position in each frame, and whether it is visible there."""


@dataclass(frozen=True)
class SplineTrack(Track):
    """A curve through nodes whose order is time; one node is an anchor: a point that stays. Always visible."""

    nodes: Float[np.ndarray, " n 2"]

    def sampled(self, num_frames: int) -> tuple[Float[np.ndarray, " f 2"], Bool[np.ndarray, " f"]]:
        """Gives the curve at equal steps of time, as `sample_spline`."""
        return sample_spline(self.nodes, num_frames=num_frames), np.ones(num_frames, dtype=bool)


@dataclass(frozen=True)
class PointTrack(Track):
    """What a point tracker saw: a position in each frame of its clip, and whether the point was hidden there."""

    points: Float[np.ndarray, " f 2"]
    visible: Bool[np.ndarray, " f"]

    def sampled(self, num_frames: int) -> tuple[Float[np.ndarray, " g 2"], Bool[np.ndarray, " g"]]:
        """Gives the first frames, as clips are trimmed: a tracker's frames are the clip's.

        Raises:
            UserError: more frames are asked for than were tracked.
        """
        if num_frames > len(self.points):
            raise UserError(
                f"frames={num_frames} is more than the {len(self.points)} that were tracked. Ask for at most "
                f"frames={len(self.points)}, or track a longer clip."
            )
        return self.points[:num_frames], self.visible[:num_frames]


def sample_tracks(tracks: Sequence[Track], *, num_frames: int) -> SampledTracks:
    """Gives all tracks over the same frames.

    Raises:
        UserError: there is no track, no frame, or a tracker saw fewer frames.
    """
    if not tracks or num_frames < 1:
        raise UserError(f"frames={num_frames} of {len(tracks)} tracks: at least one of each is needed.")
    points, visible = zip(*(track.sampled(num_frames) for track in tracks), strict=True)
    return SampledTracks(points=np.stack(points), visible=np.stack(visible))
