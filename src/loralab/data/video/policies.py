"""What is done with clips of other rates, of too few frames, and without sound; nothing of it happens unasked.

fps=keep takes the first F frames as they come and tells the model the clip's own rate, as the vendor's trainer
does. fps=resample:n shows, for frame k, the frame whose time is nearest to k / n.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from loralab.data.video.contents import Probe
from loralab.errors import UserError

TOO_SHORT = ("error", "skip", "loop")
AUDIO = ("require", "skip", "absent")
RESAMPLE = re.compile(r"resample:(\d+(?:\.\d+)?|\d+/[1-9]\d*)")
ROUNDING_S = 1e-6


@dataclass(frozen=True)
class FpsPolicy:
    """What is done with a clip's own frame rate.

    Attributes:
        rate: frames per second that all clips get; None keeps each clip's own.
    """

    rate: Fraction | None

    @classmethod
    def parse(cls, text: str, *, key: str) -> FpsPolicy:
        """Gives the policy that was typed.

        Raises:
            UserError: it is neither `keep` nor `resample:` and a number above 0.
        """
        if text == "keep":
            return cls(None)
        found = RESAMPLE.fullmatch(text)
        if not found or not Fraction(found[1]):
            raise UserError(
                f"{key}={text} must be keep, or resample:<frames per second>, as resample:24 or resample:30000/1001"
            )
        return cls(Fraction(found[1]))

    def __str__(self) -> str:
        return "keep" if self.rate is None else f"resample:{self.rate}"

    def available(self, probe: Probe) -> int:
        """Gives how many frames a video has under this policy."""
        if self.rate is None or len(probe.times) == 1:
            return len(probe.times)
        return max(1, math.floor((probe.duration + ROUNDING_S) * self.rate))


@dataclass(frozen=True)
class Selection:
    """Which frames of a video a clip shows.

    Attributes:
        indices: into the video's frames, one for each frame of the clip.
        fps: frames per second of the clip.
        period: after so many frames the clip starts over; all of them where it is not looped.
    """

    indices: tuple[int, ...]
    fps: float
    period: int

    @property
    def duration(self) -> float:
        """Length of the clip in seconds."""
        return len(self.indices) / self.fps


def select(probe: Probe, policy: FpsPolicy, *, frames: int) -> Selection:
    """Gives the first `frames` frames of a video, which starts over where it has fewer."""
    period = min(frames, policy.available(probe))
    if policy.rate is None or len(probe.times) == 1:
        once, fps = list(range(period)), _own_fps(probe, period)
    else:
        once, fps = nearest(probe.times, rate=float(policy.rate), count=period), float(policy.rate)
    return Selection(tuple(once[number % period] for number in range(frames)), fps, period)


def nearest(times: Sequence[float], *, rate: float, count: int) -> list[int]:
    """Gives for each of the times 0, 1 / rate, ... the index of the nearest of `times`, the earlier of two equals."""
    wanted, ordered = np.arange(count) / rate, np.asarray(times)
    after = np.searchsorted(ordered, wanted).clip(1, len(ordered) - 1)
    is_before = wanted - ordered[after - 1] <= ordered[after] - wanted + ROUNDING_S
    return (after - is_before).tolist()


def _own_fps(probe: Probe, count: int) -> float:
    """The rate of the first `count` frames."""
    if probe.constant or count < 2:
        return probe.fps
    return (count - 1) / (probe.times[count - 1] - probe.times[0])
