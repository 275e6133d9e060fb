"""Small real video and sound files for tests: frame k is as bright as `brightness(k)` with a red corner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

TICKS = Fraction(1, 600)
PEAK_S = 0.5
"""Sound is a tone with a click at this time."""


def brightness(number: int) -> int:
    """Mean grey of frame `number`, far enough from its neighbours' to survive compression."""
    return 20 + 73 * number % 211


def write_video(
    path: Path,
    *,
    frames: int = 33,
    rate: Fraction | int = 24,
    width: int = 96,
    height: int = 64,
    pixel_format: str = "yuv420p",
    codec: str = "libx264",
    times: Sequence[int] | None = None,
    rotation: int | None = None,
    pixel_aspect: Fraction | None = None,
    sound: str | None = None,
    sample_rate: int = 48_000,
    sound_codec: str = "aac",
    sound_s: float | None = None,
    sound_start_s: float = 0.0,
    movflags: str = "",
    caption: str | None = "a grey field that changes",
) -> Path:
    """Writes a video; `times` are its frames' in ticks of 1/600 s, `sound` is a channel layout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as container:
        stream: Any = container.add_stream(codec, rate=Fraction(rate))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.options = {"preset": "ultrafast", "crf": "8", "deadline": "realtime", "cpu-used": "8"}
        if pixel_aspect:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if times is not None:
            stream.codec_context.time_base = TICKS
        if rotation is not None:
            stream.set_display_rotation(rotation)
        track: Any = sound and container.add_stream(sound_codec, rate=sample_rate, layout=sound)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, width, height), "rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], TICKS
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound:
            seconds = float(frames / Fraction(rate)) if sound_s is None else sound_s
            _write_sound(container, track, seconds=seconds, start_s=sound_start_s)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def write_sound(
    path: Path, *, layout: str = "stereo", seconds: float = 1.0, sample_rate: int = 16_000
) -> Path:
    """Writes a WAV file."""
    with av.open(str(path), "w") as container:
        track = container.add_stream("pcm_s16le", rate=sample_rate, layout=layout)
        _write_sound(container, track, seconds=seconds, start_s=0.0)
    return path


def write_level(path: Path, *, begin_s: float, end_s: float) -> Path:
    """Writes a WAV file that is loudest between two times and silent before."""
    level = np.zeros((1, round(end_s * 16_000)), dtype=np.int16)
    level[:, round(begin_s * 16_000) :] = np.iinfo(np.int16).max
    with av.open(str(path), "w") as container:
        track = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(level, "s16", "mono")
        frame.sample_rate = 16_000
        container.mux(track.encode(frame))
        container.mux(track.encode())
    return path


def damaged(path: Path, *, frame: int) -> Path:
    """Overwrites what is stored of one frame."""
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][frame]
        begin, size = packet.pos, packet.size
    assert begin is not None
    data = path.read_bytes()
    path.write_bytes(data[: begin + 5] + b"\xff" * (size - 5) + data[begin + size :])
    return path


def trimmed(path: Path, *, frames: int, to: Path) -> Path:
    """Copies a video without its first frames as a phone does: they stay in the file and are not shown."""
    with av.open(str(path)) as source, av.open(str(to), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        assert stream.time_base is not None and stream.average_rate is not None
        ticks = round(frames / stream.average_rate / stream.time_base)
        for packet in source.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
                packet.stream = copy
                target.mux(packet)
    return to


def cut(path: Path, *, share: float, to: Path) -> Path:
    """Copies the first part of a file, as an interrupted download does."""
    data = path.read_bytes()
    to.write_bytes(data[: int(len(data) * share)])
    to.with_suffix(".txt").write_text("a grey field", encoding="utf-8")
    return to


def picture(number: int, width: int, height: int) -> np.ndarray:
    """Frame `number`: grey, with a red mark in the upper left corner that tells which side is up."""
    pixels = np.full((height, width, 3), brightness(number), dtype=np.uint8)
    pixels[: height // 4, : width // 4] = (255, 0, 0)
    return pixels


def tone(seconds: float, *, sample_rate: int, channels: int) -> np.ndarray:
    """Channel c is a tone of constant amplitude 0.1 (c + 1), silent but for a click before half a second."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    wave = np.sin(2 * np.pi * 440 * time) * (time >= PEAK_S)
    return np.stack([0.1 * (channel + 1) * wave for channel in range(channels)]).astype(np.float32)


def write_all(folder: Path) -> Path:
    """Writes a file of every kind that the documentation lists."""
    for write in FILES.values():
        write(folder)
    return folder


def _write_sound(container: Any, track: Any, *, seconds: float, start_s: float) -> None:
    codec = track.codec_context
    samples = tone(seconds, sample_rate=codec.sample_rate, channels=codec.layout.nb_channels)
    frame = av.AudioFrame.from_ndarray(samples, "fltp", codec.layout.name)
    frame.sample_rate = codec.sample_rate
    frame.time_base, frame.pts = Fraction(1, codec.sample_rate), round(start_s * codec.sample_rate)
    resampler = av.AudioResampler(format=codec.format, layout=codec.layout, rate=codec.sample_rate)
    for part in (*resampler.resample(frame), *resampler.resample(None)):
        container.mux(track.encode(part))
    container.mux(track.encode())


def _animation(folder: Path) -> None:
    path = folder / "animation.gif"
    pictures = [Image.fromarray(picture(number, 96, 64)) for number in range(20)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=50, loop=0)
    path.with_suffix(".txt").write_text("a grey field", encoding="utf-8")


def _still(folder: Path) -> None:
    Image.fromarray(picture(3, 96, 64)).save(folder / "still.png")
    (folder / "still.txt").write_text("a grey field", encoding="utf-8")


def _cut_files(folder: Path) -> None:
    whole = write_video(folder / "whole.mp4", frames=60, sound="stereo", movflags="faststart", caption=None)
    cut(whole, share=0.6, to=folder / "cut.mp4")
    whole = write_video(whole, frames=60, sound="stereo", caption=None)
    cut(whole, share=0.6, to=folder / "cut_index_last.mp4")
    whole.unlink()
    whole = write_video(folder / "whole.mkv", frames=60, sound="stereo", caption=None)
    cut(whole, share=0.6, to=folder / "cut.mkv")
    whole.unlink()


def _no_video(folder: Path) -> None:
    write_sound(folder / "sound_only.wav")
    (folder / "sound_only.wav").rename(folder / "sound_only.mov")
    (folder / "sound_only.txt").write_text("a tone", encoding="utf-8")
    (folder / "letter.mp4").write_text("no video at all", encoding="utf-8")
    (folder / "letter.txt").write_text("a letter", encoding="utf-8")


VARYING = [25 * (number + number // 3) for number in range(33)]
"""Every third frame is shown twice as long as the others."""
FILES: dict[str, Callable[[Path], object]] = {
    "with sound": lambda folder: write_video(folder / "sound.mp4", sound="stereo"),
    "without sound": lambda folder: write_video(folder / "silent.mp4"),
    "29.97 frames per second, mono": lambda folder: write_video(
        folder / "ntsc.mp4", rate=Fraction(30_000, 1001), sound="mono", sample_rate=44_100
    ),
    "60 frames per second": lambda folder: write_video(
        folder / "sixty.mp4", rate=60, frames=90, sound="stereo"
    ),
    "variable rate": lambda folder: write_video(
        folder / "variable.mp4", times=VARYING, sound="stereo", sound_s=1.8
    ),
    "5.1 sound": lambda folder: write_video(folder / "surround.mkv", sound="5.1", sound_codec="ac3"),
    "sound that ends early": lambda folder: write_video(
        folder / "half_sound.mp4", sound="stereo", sound_s=0.7
    ),
    "held upright": lambda folder: write_video(folder / "turned.mp4", rotation=-90, sound="stereo"),
    "odd sides, 4:4:4": lambda folder: write_video(
        folder / "odd.mp4", width=97, height=65, pixel_format="yuv444p", sound="stereo"
    ),
    "odd sides, 4:2:0": lambda folder: write_video(
        folder / "odd.webm", width=97, height=65, codec="libvpx-vp9", sound="stereo", sound_codec="libopus"
    ),
    "oblong pixels": lambda folder: write_video(
        folder / "oblong.mp4", width=64, pixel_aspect=Fraction(3, 2), sound="stereo"
    ),
    "nine frames": lambda folder: write_video(folder / "short.mp4", frames=9, sound="stereo"),
    "no caption": lambda folder: write_video(folder / "uncaptioned.mp4", sound="stereo", caption=None),
    "animated GIF": _animation,
    "a picture": _still,
    "cut short": _cut_files,
    "no video": _no_video,
}
