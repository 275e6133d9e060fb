"""Writes a video of every kind, decodes it under two policies and tabulates what each one gives.

    python bench/video_files.py --out docs/video_data.md

Replaces the table in the document; needs no network and no GPU.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.data.video.files import FILES  # noqa: E402

from loralab.data.video import Clip, ClipRules, VideoFolderSource, check_clips  # noqa: E402
from loralab.data.video.footage import inspected  # noqa: E402
from loralab.errors import UserError  # noqa: E402

BUCKETS = "96x64x33;64x96x33;96x64x1"
POLICIES = (
    {"fps": "keep", "too_short": "error", "audio": "require"},
    {"fps": "resample:24", "too_short": "loop", "audio": "absent"},
)
TABLE = re.compile(r"\| kind \|.*?\n(?=\n|\Z)", re.DOTALL)


def main() -> None:
    """Replaces the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    path = parser.parse_args().out
    written, count = TABLE.subn(lambda _: table(), path.read_text(encoding="utf-8"))
    if count != 1:
        raise SystemExit(f"{path} has {count} tables of kinds of files, not one")
    path.write_text(written, encoding="utf-8")


def table() -> str:
    """Gives the table, a row for each file."""
    heads = [
        "kind",
        "file",
        "it holds",
        *(f"`{' '.join(f'{k}={v}' for k, v in policy.items())}`" for policy in POLICIES),
    ]
    rows = [heads, ["---"] * len(heads)]
    with tempfile.TemporaryDirectory() as scratch:
        for number, (kind, write) in enumerate(FILES.items()):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            write(folder)
            rows += _rows(kind, folder)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _rows(kind: str, folder: Path) -> Iterator[list[str]]:
    listing = VideoFolderSource().read(str(folder), key="clips")
    gets: dict[str, list[str]] = {entry.name: [] for entry in listing.entries}
    for policy in POLICIES:
        report = check_clips(listing, ClipRules(buckets=BUCKETS, **policy), show_progress=False)
        for clip in report.clips:
            gets[clip.entry.name].append(_decoded(clip))
        for rejection in report.rejections:
            verdict = "left out" if rejection.asked_for else "rejected"
            gets[rejection.where].append(f"{verdict}: {rejection.reason}")
    for entry in listing.entries:
        first, second = gets[entry.name]
        cells = [_held(entry.video), first, "the same" if first == second else second]
        yield [kind, f"`{entry.name}`", *cells]


def _held(path: Path) -> str:
    """What the file's packets tell."""
    try:
        _, probe = inspected(path)
    except UserError:
        return "unreadable"
    is_still = len(probe.times) == 1
    rate = f"{probe.fps:.5g} fps" + ("" if probe.constant else " on average")
    frames = "a picture" if is_still else f"{len(probe.times)} frames at {rate}"
    return "; ".join((f"{probe.width}x{probe.height}, {frames}, {probe.sound or 'no sound'}", *probe.remarks))


def _decoded(clip: Clip) -> str:
    """What decoding gives: the shapes of all tensors, and the rate."""
    frames, height, width, _ = clip.pixels().shape
    sound = clip.audio()
    parts = [f"{width}x{height}x{frames} at {clip.fps:.5g} fps"]
    if clip.period < frames:
        parts.append(f"starts over after {clip.period}")
    return "; ".join([*parts, "no sound" if sound is None else f"sound 2x{sound.shape[1]}"])


if __name__ == "__main__":
    main()
