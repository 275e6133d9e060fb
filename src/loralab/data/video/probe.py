"""What a video file holds, read from its packets: every frame's time and the size, decoding the first frame only.

Times count from the first frame. The rate is constant, r, where frame k lies within a tenth of an interval (or
the container's rounding) of k / r; r is then exact, such as 30000/1001. Otherwise it is the mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Float

from loralab.data.video.contents import Probe, Sound, UnreadableError
from loralab.data.video.reading import Packets, audio_stream, opened, read_packets, video_stream

JITTER = 0.1
USUAL_FPS = 24.0
"""Of a single frame whose length is not stated; the rate that the vendor's trainer assumes too."""
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""Transfer characteristics, ITU-T H.273 table 3."""


def probe(path: Path) -> Probe:
    """Gives what a video file holds.

    Raises:
        UnreadableError: it is no video, holds no frame or is cut short; says what can be read of it.
    """
    with opened(path) as container:
        video, audio = video_stream(container, path), audio_stream(container)
        streams = [video] if audio is None else [video, audio]
        frames, *others = read_packets(container, streams, path)
        sound = _sound(audio, others[0]) if audio is not None else None
        if not frames.spans:
            raise UnreadableError(path, "has a video stream, but no frame can be read of it.")
        times = np.sort([begin for begin, _ in frames.spans]) - frames.start
        fps, constant = _rate(times, video)
        duration = len(times) / fps if constant else float(times[-1]) + max(frames.spans)[1]
    first, ratio = _first_frame(path)
    width, height = shown_size(first, ratio)
    return Probe(
        width=width,
        height=height,
        times=tuple(times.tolist()),
        duration=duration,
        start=frames.start,
        fps=fps,
        constant=constant,
        sound=sound,
        remarks=tuple(_remarks(first, ratio)),
    )


def probe_sound(path: Path) -> Sound:
    """Gives the sound of a sound or video file.

    Raises:
        UnreadableError: it has none, or is cut short.
    """
    with opened(path) as container:
        audio = audio_stream(container)
        sound = _sound(audio, read_packets(container, [audio], path)[0]) if audio is not None else None
    if sound is None:
        raise UnreadableError(path, "has no sound.")
    return sound


def shown_size(frame: VideoFrame, pixel_aspect: float) -> tuple[int, int]:
    """Gives (width, height) of a stored frame when it is upright and its pixels are square."""
    width, height = square_width(frame, pixel_aspect), frame.height
    return (height, width) if frame.rotation % 180 else (width, height)


def square_width(frame: VideoFrame, pixel_aspect: float) -> int:
    """Gives the width that a stored frame, not turned yet, has in square pixels."""
    return max(1, round(frame.width * pixel_aspect))


def pixel_aspect(stream: VideoStream) -> float:
    """Gives width over height of a stored pixel."""
    return float(stream.sample_aspect_ratio or 1)


def _first_frame(path: Path) -> tuple[VideoFrame, float]:
    with opened(path) as container:
        stream = video_stream(container, path)
        for frame in container.decode(stream):
            return frame, pixel_aspect(stream)
    raise UnreadableError(path, "has a video stream, but no frame of it decodes.")


def _rate(times: Float[np.ndarray, " f"], video: VideoStream) -> tuple[float, bool]:
    """Gives frames per second, and whether the rate is constant."""
    if len(times) == 1:
        return float(video.average_rate or USUAL_FPS), True
    mean = (len(times) - 1) / float(times[-1])
    rounding = 1.5 * float(video.time_base or 0)
    for rate in (video.average_rate, video.guessed_rate, mean):
        if rate:
            offsets = np.abs(times - np.arange(len(times)) / float(rate))
            if offsets.max() <= max(rounding, JITTER / float(rate)):
                return float(rate), True
    return mean, False


def _sound(stream: AudioStream, packets: Packets) -> Sound | None:
    if not packets.spans:
        return None
    codec = stream.codec_context
    return Sound(codec.sample_rate, codec.layout.name, packets.end - packets.start)


def _remarks(frame: VideoFrame, pixel_aspect: float) -> Iterator[str]:
    if frame.rotation:
        yield f"turned upright, {-frame.rotation % 360} degrees clockwise"
    if pixel_aspect != 1:
        yield f"stored as {frame.width}x{frame.height} in oblong pixels"
    if frame.interlaced_frame:
        yield "interlaced: its comb lines would be learned, deinterlace it first"
    if frame.color_trc in HDR_TRANSFERS:
        yield f"high dynamic range ({HDR_TRANSFERS[frame.color_trc]}): its colours are taken as they are, pale"
