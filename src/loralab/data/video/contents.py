"""What a video or sound file holds, or why it cannot be used.

Those who read files (`reading`, `probe`, `decode`) import PyAV, and are imported where a file is opened: a run on
pictures goes without.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loralab.errors import UserError


class UnreadableError(UserError):
    """A video or sound file that cannot be used as it is; the message begins with its path.

    Attributes:
        path: the file.
        reason: the message without the path.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.path, self.reason = path, reason


@dataclass(frozen=True)
class Sound:
    """What is heard.

    Attributes:
        sample_rate: in Hz, as stored.
        layout: channels by their usual name: `mono`, `stereo`, `5.1`.
        duration: in seconds.
    """

    sample_rate: int
    layout: str
    duration: float

    def __str__(self) -> str:
        return f"{self.layout} {self.sample_rate} Hz"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a video file holds.

    Attributes:
        width, height: pixels as shown: upright, and of square pixels.
        times: of every frame, in seconds from the first.
        duration: seconds from the first frame to the end of the last.
        start: time of the first frame in the file, to which its sound is aligned.
        fps: frames per second, the mean where the rate varies.
        constant: whether all frames are shown equally long.
        sound: None where there is none.
        remarks: what the eye would not notice in a list of files.
    """

    width: int
    height: int
    times: tuple[float, ...]
    duration: float
    start: float
    fps: float
    constant: bool
    sound: Sound | None
    remarks: tuple[str, ...] = ()
