"""Frames and sound of a file, decoded: upright 8-bit sRGB, and stereo at 16 kHz.

Channels are mixed by name: mono is duplicated; 5.1 and 7.1 by the weights of ITU-R BS.775-4 (front 1, centre and
surround 1/sqrt(2), low frequencies left out), divided by their sum; the mean of all otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from loralab.data.video.contents import UnreadableError
from loralab.data.video.probe import pixel_aspect, square_width
from loralab.data.video.reading import audio_stream, opened, video_stream
from loralab.data.video.sizes import SAMPLE_RATE

GAP_S = 0.02
"""Sound frames that begin so much later than the one before ended leave silence; less is rounding."""
SURROUND = {"5.1", "5.1(side)", "7.1"}
SIDES = ({"FL", "BL", "SL"}, {"FR", "BR", "SR"})


def read_frames(path: Path, indices: Sequence[int]) -> Iterator[UInt8[np.ndarray, " h w 3"]]:
    """Yields frames of a video, each once, in the order of the file.

    Args:
        path: the file.
        indices: which frames, counted from 0; nothing behind the last of them is decoded.

    Raises:
        UnreadableError: a frame is damaged or the file ends too early; says what could be read.
    """
    wanted, last, number = set(indices), max(indices), -1
    with opened(path) as container:
        stream = video_stream(container, path)
        stream.thread_type = "AUTO"
        for number, frame in enumerate(_whole_frames(container, stream, path)):
            if number in wanted:
                yield _upright(frame, pixel_aspect(stream))
            if number == last:
                return
    raise UnreadableError(path, f"decodes to {number + 1} frames only; {last + 1} are needed.")


def read_sound(path: Path, *, start: float | None, num_samples: int) -> Float[Tensor, " 2 {num_samples}"]:
    """Gives stereo sound at 16 kHz, with silence where the file has none.

    Args:
        path: a sound or video file.
        start: time in the file at which to begin; None for the beginning of its sound.
        num_samples: how many.

    Raises:
        UnreadableError: it has no sound, or changes its sample rate.
    """
    with opened(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise UnreadableError(path, "has no sound.")
        rate = stream.codec_context.sample_rate
        length = math.ceil((num_samples / SAMPLE_RATE + GAP_S) * rate)
        sound = _placed(container.decode(stream), path=path, rate=rate, start=start, length=length)
    resampled = sound if rate == SAMPLE_RATE else _resampled(sound, rate)
    return torch.from_numpy(resampled[:, :num_samples].copy())


def to_stereo(
    sound: Float32[np.ndarray, " c n"], channels: Sequence[str], layout: str
) -> Float32[np.ndarray, " 2 n"]:
    """Mixes sound to two channels; `channels` are FFmpeg's names of them, `layout` that of all."""
    if len(channels) <= 2:
        return np.broadcast_to(sound, (2, sound.shape[1]))
    if layout not in SURROUND:
        return np.broadcast_to(sound.mean(axis=0), (2, sound.shape[1]))
    weights = np.array([[_weight(channel, side) for channel in channels] for side in SIDES], dtype=np.float32)
    return (weights / weights.sum(axis=1, keepdims=True)) @ sound


def _whole_frames(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[VideoFrame]:
    """Decodes up to the first damage, and says how far that was."""
    count = 0
    damage = "a frame that lacks its data"
    try:
        for frame in container.decode(stream):
            if frame.is_corrupt:
                break
            count += 1
            yield frame
        else:
            return
    except FFmpegError as error:
        damage = str(error.strerror)
    raise UnreadableError(
        path,
        f"is damaged ({damage}): {count} frames of it decode. Copy or download it again, or write what is good to a "
        "new file.",
    )


def _upright(frame: VideoFrame, aspect: float) -> UInt8[np.ndarray, " h w 3"]:
    pixels = frame.to_ndarray(
        format="rgb24", width=square_width(frame, aspect), height=frame.height, interpolation="BICUBIC"
    )
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def _placed(
    frames: Iterator[AudioFrame], *, path: Path, rate: int, start: float | None, length: int
) -> Float32[np.ndarray, " 2 {length}"]:
    """Lays frames where their times say, from `start` on."""
    sound, position = np.zeros((2, length), dtype=np.float32), 0
    as_float = AudioResampler(format="fltp")
    for frame in frames:
        if frame.sample_rate != rate:
            raise UnreadableError(
                path, f"changes its sample rate from {rate} to {frame.sample_rate} Hz; write it anew."
            )
        if (time := frame.time) is not None:
            start = time if start is None else start
            due = round((time - start) * rate)
            position = due if abs(due - position) > GAP_S * rate or position == 0 else position
        channels = [channel.name for channel in frame.layout.channels]
        piece = np.concatenate([part.to_ndarray() for part in as_float.resample(frame)], axis=1)
        piece = to_stereo(piece, channels, frame.layout.name)
        first, end = max(position, 0), min(position + piece.shape[1], length)
        if first < end:
            sound[:, first:end] = piece[:, first - position : end - position]
        position += piece.shape[1]
        if position >= length:
            break
    return sound


def _resampled(sound: Float32[np.ndarray, " 2 n"], rate: int) -> Float32[np.ndarray, " 2 m"]:
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(sound), "fltp", "stereo")
    frame.sample_rate = rate
    resampler = AudioResampler(format="fltp", layout="stereo", rate=SAMPLE_RATE)
    return np.concatenate(
        [part.to_ndarray() for part in (*resampler.resample(frame), *resampler.resample(None))], axis=1
    )


def _weight(channel: str, side: set[str]) -> float:
    if channel in side:
        return 1.0 if channel.startswith("F") else math.sqrt(0.5)
    return math.sqrt(0.5) if channel == "FC" else 0.0
