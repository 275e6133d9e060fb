"""`python -m loralab clips <folder or .jsonl>`: what becomes of every clip, before anything is encoded.

clips videos/ buckets=768x448x89
clips pairs.jsonl buckets='768x448x89;448x768x89' fps=resample:24 audio=absent reference_downscale=2

buckets=WxHxF            sizes as trained, several with semicolons; sides in multiples of 32, 8k + 1 frames
fps=keep                 each clip's own rate (keep), or one for all (resample:24)
too_short=error          of clips shorter than all buckets: error, skip or loop
audio=require            clips without sound: an error (require), left out (skip); absent reads no sound
reference_downscale=1    references are so many times smaller (2: sides in multiples of 64)
reference_stride=1       of a reference's frames after the first, one in so many is kept
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loralab.cli.arguments import typed, whole
from loralab.errors import UserError

TEXTS = ("buckets", "fps", "too_short", "audio")
NUMBERS = ("reference_downscale", "reference_stride")


def main(arguments: Sequence[str]) -> None:
    """Prints a line for every clip and the counts; ends with an error where one cannot be used."""
    from loralab.data.video import ClipRules, JsonlSource, VideoFolderSource, check_clips

    found = typed(arguments, command="clips", known=TEXTS + NUMBERS, subject="a folder or a .jsonl file")
    if "buckets" not in found:
        raise UserError("clips needs buckets=<width>x<height>x<frames>, for example buckets=768x448x89")
    chosen: dict[str, Any] = {key: found[key] for key in TEXTS if key in found}
    chosen |= {key: whole(found, key, default=1) for key in NUMBERS}
    rules = ClipRules(**chosen)
    root = found["name"]
    source = JsonlSource() if Path(root).suffix == ".jsonl" else VideoFolderSource()
    report = check_clips(source.read(root, key="clips"), rules)
    for line in report.lines():
        print(line)
    report.stop_at_mistakes()
