"""Files of clips: mp4s that decode to what was written, strips, one sheet."""

from __future__ import annotations

import json
import math
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from loralab.data.video.decode import read_frames, read_sound
from loralab.data.video.probe import probe
from loralab.evaluation.video import ClipRequest, ClipSize, DrawnClip, Row, write_clip, write_clips
from loralab.evaluation.video.sheet import SOUND_HEIGHT, spectrogram

NTSC = 30_000 / 1001


def clip(
    column: str = "adapter", *, index: int = 0, tone: float | None = 440.0, seconds: float = 1.0
) -> DrawnClip:
    """33 frames that get brighter, with a tone of `seconds`."""
    grey = torch.linspace(20, 230, 33).round().byte()
    frames = grey[:, None, None, None].expand(33, 64, 96, 3).contiguous()
    sound = None
    if tone is not None:
        sound = 0.5 * torch.sin(2 * math.pi * tone * torch.arange(round(seconds * 48_000)) / 48_000).expand(
            2, -1
        )
    return DrawnClip(column=column, index=index, frames=frames, fps=NTSC, sound=sound, sample_rate=48_000)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_a_clip_decodes_to_its_frames_rate_and_sound(tmp_path: Path) -> None:
    drawn = clip()

    path = write_clip(drawn, tmp_path / "clip.mp4")

    found = probe(path)
    assert (found.width, found.height, len(found.times)) == (96, 64, 33)
    assert found.fps == pytest.approx(NTSC, abs=1e-6)
    brightness = [frame.mean() for frame in read_frames(path, range(33))]
    assert np.allclose(brightness, drawn.frames.float().mean(dim=(1, 2, 3)), atol=2)
    heard = read_sound(path, start=found.start, num_samples=16_000)
    wave = 0.5 * torch.sin(2 * math.pi * 440 * torch.arange(16_000) / 16_000)
    assert (heard[:, 200:-200] - wave[200:-200]).abs().max() < 0.03
    with av.open(str(path)) as container:
        video, audio = container.streams
        assert (video.codec_context.name, audio.codec_context.name, audio.sample_rate) == (
            "h264",
            "aac",
            48_000,
        )
        assert float(audio.duration * audio.time_base) == pytest.approx(
            33 / NTSC, abs=1e-3
        )  # beyond its sound
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_silent_clip_has_no_sound_stream(tmp_path: Path) -> None:
    path = write_clip(clip(tone=None), tmp_path / "clip.mp4")

    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_a_spectrogram_shows_where_a_tone_is() -> None:
    low, high = (
        np.asarray(spectrogram(clip(tone=tone).sound, sample_rate=48_000, width=64)).sum(axis=(1, 2)).argmax()
        for tone in (1000.0, 6000.0)
    )

    assert low == pytest.approx(SOUND_HEIGHT * 7 / 8, abs=2) and high == pytest.approx(
        SOUND_HEIGHT / 4, abs=2
    )


def test_all_clips_are_on_one_sheet_with_their_names(tmp_path: Path) -> None:
    size = ClipSize(width=96, height=64, num_frames=33, fps=NTSC)
    requests = [
        ClipRequest(prompt=text, size=size, has_audio=index == 0) for index, text in enumerate(("fox", "owl"))
    ]
    rows = [Row(request=request, seed=0) for request in requests]
    clips = [
        clip(name, index=i, tone=440.0 if i == 0 else None) for name in ("base", "adapter") for i in (0, 1)
    ]

    sheet = write_clips(tmp_path, clips, rows=rows)

    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    each = [
        f"{column}/{i:02d}.{kind}"
        for column in ("adapter", "base")
        for i in (0, 1)
        for kind in ("mp4", "png")
    ]
    assert names == sorted([*each, "grid.png", "index.json"])
    assert json.loads((tmp_path / "index.json").read_text()) == {
        "columns": ["base", "adapter"],
        "rows": [{"prompt": "fox", "seed": 0}, {"prompt": "owl", "seed": 0}],
    }
    strips = [size_of(tmp_path / "base" / f"{i:02d}.png") for i in (0, 1)]
    assert strips[0] == strips[1] == (4 * 192 + 3 * 4, 128 + 4 + SOUND_HEIGHT)
    assert size_of(sheet)[0] > 2 * strips[0][0]
