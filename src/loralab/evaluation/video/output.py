"""Files of drawn clips, written one by one as they are decoded, and one sheet of all.

<column>/00.mp4        the clip with its sound
<column>/00.png        its strip: frames over time, spectrogram
grid.png, index.json   all strips, labelled: a row for each prompt, a column for each adapter; their names, for reports
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from PIL import Image

from loralab.data.control.writing import write_video
from loralab.evaluation.grid import Row as GridRow
from loralab.evaluation.grid import labelled_grid
from loralab.evaluation.pictures import save_png
from loralab.evaluation.video.rendering import DrawnClip, Row
from loralab.evaluation.video.sheet import FRAME_WIDTH, NUM_FRAMES, padded, strip
from loralab.files import atomic_write

LARGEST_DENOMINATOR = 1001
"""Of a frame rate: 30000/1001 is exact in it."""


def write_clip(clip: DrawnClip, path: Path) -> Path:
    """Writes a clip as an mp4 of exactly its duration; sound that ends early goes on in silence."""
    sound = None
    if clip.sound is not None:
        wanted = round(len(clip.frames) / clip.fps * clip.sample_rate)
        sound = clip.sound.new_zeros(2, wanted)
        kept = min(wanted, clip.sound.shape[1])
        sound[:, :kept] = clip.sound[:, :kept]
    write_video(
        path,
        (frame.numpy() for frame in clip.frames),
        fps=Fraction(clip.fps).limit_denominator(LARGEST_DENOMINATOR),
        sound=None if sound is None else sound.float().numpy(),
        sample_rate=clip.sample_rate,
    )
    return path


def write_clips(folder: Path, clips: Iterable[DrawnClip], *, rows: Sequence[Row]) -> Path:
    """Writes clips, strips, index and sheet; gives the sheet's path."""
    has_room = any(row.request.has_audio for row in rows)
    strips: dict[str, list[Image.Image]] = {}
    for clip in clips:
        path = folder / clip.column / f"{clip.index:02d}.mp4"
        write_clip(clip, path)
        picture = strip(clip.frames, sound=clip.sound, sample_rate=clip.sample_rate, has_room=has_room)
        save_png(picture, path.with_suffix(".png"))
        strips.setdefault(clip.column, []).append(picture)
    even = iter(padded([picture for column in strips.values() for picture in column]))
    strips = {name: [next(even) for _ in column] for name, column in strips.items()}
    named = [{"prompt": row.request.prompt, "seed": row.seed} for row in rows]
    listing = {"columns": list(strips), "rows": named}
    atomic_write(folder / "index.json", json.dumps(listing, ensure_ascii=False, indent=2) + "\n")
    labels = [_label(row, rows) for row in rows]
    grid = [
        GridRow(label, pictures)
        for label, pictures in zip(labels, zip(*strips.values(), strict=True), strict=True)
    ]
    sheet = labelled_grid(grid, columns=list(strips), largest_cell=NUM_FRAMES * 2 * FRAME_WIDTH)
    return save_png(sheet, folder / "grid.png")


def _label(row: Row, rows: Sequence[Row]) -> str:
    has_seeds = len({other.seed for other in rows}) > 1
    return f"{row.request.prompt} (seed {row.seed})" if has_seeds else row.request.prompt
