"""`python -m loralab control canny|annotate <video> out=...`: a control video of a video, frame by frame at its times.

    control canny clip.mp4 out=edges.mp4         Canny's edges; needs OpenCV (pip install 'loralab[control]')
    low=100 high=200                             thresholds on the gradient of 8-bit grey
    short_side=544                               resize to this before; by default edges are the video's own size

    control annotate clip.mp4 out=depth.mp4 annotator=package.module:function
                                                 anything else: docs/control.md says what the function is given

Odd sides become even, which a video file needs. A video that another program made is as good: no command is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from loralab.cli.arguments import number, typed, whole
from loralab.cli.tracks import LEAST_SIDE, mp4
from loralab.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    Frames = Iterator[np.ndarray]

log = logging.getLogger("loralab")
LARGEST_DENOMINATOR = 1001
"""Of a constant rate: 30000/1001 frames per second has it."""
KEYS = {"canny": ("out", "low", "high", "short_side"), "annotate": ("out", "annotator")}


def main(arguments: Sequence[str]) -> None:
    """Makes the control video and prints where it is."""
    verb = arguments[0] if arguments else ""
    if verb not in KEYS:
        raise UserError(
            "control needs a verb: control canny <video> out=..., or control annotate <video> out=..."
        )
    found = typed(arguments[1:], command=f"control {verb}", known=KEYS[verb], subject="a video")
    if "out" not in found:
        raise UserError(f"control {verb} needs out=control.mp4")
    source, out = Path(found["name"]), mp4(found["out"])
    if out.exists() and source.exists() and out.samefile(source):
        raise UserError(f"out={out} is the video itself; name another file")
    _write(source, out, found, verb=verb)


def _write(source: Path, out: Path, found: Mapping[str, str], *, verb: str) -> None:
    from loralab.data.control.writing import write_video
    from loralab.data.video.decode import read_frames
    from loralab.data.video.probe import probe

    video = probe(source)
    make = {"canny": _canny, "annotate": _annotated}[verb]
    count = write_video(
        out,
        make(read_frames(source, range(len(video.times))), found),
        fps=Fraction(video.fps).limit_denominator(LARGEST_DENOMINATOR),
        times=None if video.constant else video.times,
    )
    log.info("control  %s   %d frames", out, count)


def _canny(frames: Frames, found: Mapping[str, str]) -> Frames:
    from loralab.data.control.canny import HIGH, LOW, canny
    from loralab.data.control.writing import resized

    low, high = number(found, "low", default=LOW), number(found, "high", default=HIGH)
    short = whole(found, "short_side", default=0, least=LEAST_SIDE) if "short_side" in found else None
    for pixels in frames:
        yield canny(resized(pixels, short_side=short)[None], low=low, high=high)[0]


def _annotated(frames: Frames, found: Mapping[str, str]) -> Frames:
    import numpy as np

    from loralab.data.control.annotators import load_annotator
    from loralab.data.control.writing import resized

    if "annotator" not in found:
        raise UserError("control annotate needs annotator=package.module:function")
    annotator = load_annotator(found["annotator"])
    yield from annotator(np.stack([resized(pixels) for pixels in frames]))
