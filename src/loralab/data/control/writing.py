"""A video file of frames: H.264 in 8 bits (BT.709, 4:2:0, CRF 18), which every player shows, with sound as AAC.

A control video is made frame by frame from another video: where that has a variable rate, so has this, and both are
resampled alike later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from jaxtyping import Float32, UInt8
from PIL import Image

from loralab.errors import UserError
from loralab.files import atomic_path

CLOCK = 90_000
"""Units of time in a second where frames have times of their own; the usual rates are exact in it."""
BT709, LIMITED_RANGE = 1, 1
CRF = "18"
AAC_FRAME, AAC_BIT_RATE = 1024, 192_000


def write_video(
    path: str | Path,
    frames: Iterable[UInt8[np.ndarray, " h w 3"]],
    *,
    fps: Fraction,
    times: Sequence[float] | None = None,
    sound: Float32[np.ndarray, " 2 samples"] | None = None,
    sample_rate: int = 48_000,
) -> int:
    """Writes an mp4 atomically.

    Args:
        path: of the file.
        frames: in RGB, taken as they come: they need not be in memory together.
        fps: frames per second; the mean where they have times.
        times: of each frame in seconds, for a variable rate.
        sound: stereo in [-1, 1], None for a silent file.
        sample_rate: of the sound, in Hz.

    Returns:
        How many frames were written.

    Raises:
        UserError: sides are odd, which this pixel format cannot hold.
    """
    unit = 1 / fps if times is None else Fraction(1, CLOCK)
    iterator, index = iter(frames), 0
    first = next(iterator)
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = _stream(container, first.shape, fps=fps, unit=unit)
        audio = None if sound is None else _audio_stream(container, sample_rate)
        for index, pixels in enumerate(chain([first], iterator)):
            pts = index if times is None else round(times[index] * CLOCK)
            container.mux(stream.encode(_encodable(pixels, pts=pts, unit=unit)))
        container.mux(stream.encode())
        if audio is not None and sound is not None:
            for packet in _audible(sound, sample_rate):
                container.mux(audio.encode(packet))
            container.mux(audio.encode())
    return index + 1


def resized(
    frame: UInt8[np.ndarray, " h w 3"], *, short_side: int | None = None
) -> UInt8[np.ndarray, " y x 3"]:
    """Gives the frame with this short side (or its own), and each side the nearest even number, as a file needs."""
    height, width, _ = frame.shape
    scale = 1.0 if short_side is None else short_side / min(height, width)
    size = (2 * max(round(width * scale / 2), 1), 2 * max(round(height * scale / 2), 1))
    if size == (width, height):
        return frame
    return np.array(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS), dtype=np.uint8)


def _stream(
    container: OutputContainer, shape: tuple[int, ...], *, fps: Fraction, unit: Fraction
) -> VideoStream:
    height, width, _ = shape
    if height % 2 or width % 2:
        raise UserError(f"width={width} height={height} must be even for a video file")
    stream = container.add_stream("libx264", rate=fps, options={"crf": CRF})
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    context = stream.codec_context
    stream.time_base = context.time_base = unit
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = LIMITED_RANGE
    return stream


def _audio_stream(container: OutputContainer, sample_rate: int) -> AudioStream:
    stream = container.add_stream("aac", rate=sample_rate)
    stream.codec_context.layout = "stereo"
    stream.codec_context.bit_rate = AAC_BIT_RATE
    return stream


def _audible(sound: Float32[np.ndarray, " 2 samples"], sample_rate: int) -> Iterator[AudioFrame]:
    """Yields the sound in pieces of the codec's length."""
    for start in range(0, sound.shape[1], AAC_FRAME):
        piece = np.ascontiguousarray(sound[:, start : start + AAC_FRAME].clip(-1, 1))
        frame = AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = sample_rate, start, Fraction(1, sample_rate)
        yield frame


def _encodable(pixels: UInt8[np.ndarray, " h w 3"], *, pts: int, unit: Fraction) -> VideoFrame:
    frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709
    )
    frame.pts, frame.time_base = pts, unit
    return frame
