"""Opens video and sound files and reads their packets; what is wrong with a file is said with its name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from loralab.data.video.contents import UnreadableError

CUT_TOLERANCE_S = 0.5
"""A container rounds the length that it states, and sound may end a little before the picture."""


@dataclass
class Packets:
    """What can be read of one stream.

    Attributes:
        spans: begin and length of every packet that is shown, in seconds, in the file's order.
        num_packets: all packets, also those that only help to decode others.
        is_torn: a packet is incomplete.
    """

    spans: list[tuple[float, float]] = field(default_factory=list)
    num_packets: int = 0
    is_torn: bool = False

    @property
    def start(self) -> float:
        """Where it begins, in the file's time."""
        return min(begin for begin, _ in self.spans)

    @property
    def end(self) -> float:
        """Where it ends, in the file's time."""
        return max((begin + length for begin, length in self.spans), default=0.0)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """Opens a file for reading.

    Raises:
        UnreadableError: FFmpeg finds something wrong with it, now or while it is being read.
    """
    try:
        container = av.open(f"file:{path}")
    except OSError as error:
        raise UnreadableError(path, f"cannot be read ({error.strerror}).") from error
    except av.error.FFmpegError as error:
        raise UnreadableError(
            path,
            f"cannot be read as video or sound ({error.strerror}): nothing of it can be used. It is of another kind, "
            "or was cut before its index was written; copy or download it again.",
        ) from error
    with container:
        try:
            yield container
        except av.error.FFmpegError as error:
            raise UnreadableError(
                path, f"is damaged ({error.strerror}). Copy or download it again."
            ) from error


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Gives the stream that a player would show; the cover picture of a song is none."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise UnreadableError(path, f"has no video stream (it holds: {kinds}).")
    return stream


def audio_stream(container: InputContainer) -> AudioStream | None:
    """Gives the stream that a player would play, None where there is none."""
    stream = container.streams.best("audio")
    return stream if isinstance(stream, AudioStream) else None


def read_packets(container: InputContainer, streams: Sequence[Stream], path: Path) -> list[Packets]:
    """Gives what can be read of these streams.

    Raises:
        UnreadableError: the file is cut short; says how much of it is there.
    """
    found = {stream.index: Packets() for stream in streams}
    for packet in container.demux(*streams):
        if packet.size:
            _take(found[packet.stream_index], packet)
    _refuse_cut(container, streams, found, path)
    return list(found.values())


def _take(packets: Packets, packet: Packet[Stream]) -> None:
    if packet.is_corrupt:
        packets.is_torn = True
        return
    packets.num_packets += 1
    if not packet.is_discard:
        ticks = packet.dts if packet.pts is None else packet.pts
        begin = packets.end if ticks is None else float(ticks * packet.time_base)
        packets.spans.append((begin, float((packet.duration or 0) * packet.time_base)))


def _refuse_cut(
    container: InputContainer, streams: Sequence[Stream], found: dict[int, Packets], path: Path
) -> None:
    """Refuses a torn packet, packets that the index lists and the file lacks, and an unreached stated length."""
    indexed = {stream.index: len(stream.index_entries) for stream in streams}
    lacks = any(packets.is_torn or packets.num_packets < indexed[number] for number, packets in found.items())
    begin, stated = (container.start_time or 0) / av.time_base, (container.duration or 0) / av.time_base
    reached = max(packets.end for packets in found.values()) - begin
    tells_all = len(container.streams) == len(streams)  # else the length may be that of subtitles
    if lacks or (tells_all and stated - reached > CUT_TOLERANCE_S):
        first = streams[0]
        there = len(found[first.index].spans)
        frames = f"{there} of {first.frames}" if first.frames > there else f"{there}"
        what = "frames" if first.type == "video" else "packets of sound"
        length = f"{reached:.2f} of {stated:.2f} s" if stated > reached else f"{reached:.2f} s"
        raise UnreadableError(
            path,
            f"is cut short: {frames} {what} can be read, {length}. Copy or download it again, or write what is there "
            "to a new file to use that.",
        )
