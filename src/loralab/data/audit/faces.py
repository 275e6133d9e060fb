"""How much of a person a picture shows, by its largest face: the boosted cascade that comes with OpenCV 4.

visible heads = (height of the picture - top of the face) / (height of the face / 0.7)

A grown figure is 7.5 heads tall (Richer 1893, "Canon des proportions du corps humain"), its waist three below the
crown. The face is found as by Viola and Jones (2001) with Lienhart's cascade (2002), whose square reaches from the
forehead to the chin: 0.57 to 0.79 of a head in six portraits, 0.7 in the middle.

OpenCV 5 has neither cascades nor their detector, and its own asks for a network that it does not bring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from loralab.data.images import load_picture
from loralab.data.memo import in_threads, remembered
from loralab.data.records import Record

FACES_VERSION = 1
CASCADE = "haarcascade_frontalface_alt2.xml"
SIDES = (640, 1280)
"""Longer sides at which faces are looked for; the second, which is slow, for small ones in large pictures."""
SMALLEST, NEIGHBOURS, SCALE = 24, 8, 1.1
HEAD = 0.7
CLOSE_UP, FULL_BODY = 2.5, 6.5
"""Visible heads: a close-up ends at the chest, a full body begins at the shins."""


@dataclass(frozen=True)
class Face:
    """The largest face of a picture.

    Attributes:
        top: upper edge, 0 to 1 of the picture's height.
        height: of the face, 0 to 1 of the picture's height.
    """

    top: float
    height: float

    @property
    def visible_heads(self) -> float:
        """Says how many heads of a figure there is room for, from the forehead down."""
        return (1 - self.top) * HEAD / self.height

    @property
    def framing(self) -> str:
        """Names what is shown, one of `records.FRAMINGS`."""
        if self.visible_heads < CLOSE_UP:
            return "close_up"
        return "medium" if self.visible_heads < FULL_BODY else "full_body"


def has_detector() -> bool:
    """Says whether an OpenCV is installed that brings its cascades."""
    return _cascade() is not None


def faces_of(records: Sequence[Record], *, cache_root: Path) -> list[Face | None]:
    """Gives the largest face of each picture, None where none is found; what was found once is remembered.

    Needs `has_detector()`.
    """
    return in_threads("look for faces", records, lambda record: _remembered(record, cache_root))


def face_in(picture: Image.Image) -> Face | None:
    """Gives the largest face that looks forward, None where none is found. Needs `has_detector()`."""
    import cv2

    cascade = cv2.CascadeClassifier(str(_cascade()))  # one for each picture, since it has a state
    for side in SIDES[: 1 if max(picture.size) <= SIDES[0] else 2]:
        share = side / max(picture.size)
        size = [max(1, round(length * share)) for length in picture.size]
        grey = np.asarray(picture.convert("L").resize(size, Image.Resampling.LANCZOS))
        boxes = cascade.detectMultiScale(grey, SCALE, NEIGHBOURS, minSize=(SMALLEST, SMALLEST))
        if len(boxes):
            _, top, _, height = max(boxes, key=lambda box: int(box[3]))
            return Face(float(top) / size[1], float(height) / size[1])
    return None


def _cascade() -> Path | None:
    """Gives the cascade's file, None where no OpenCV is installed or it brings none."""
    try:
        import cv2
    except ImportError:
        return None
    package: Any = cv2
    path = Path(package.data.haarcascades) / CASCADE
    return path if path.is_file() else None


def _remembered(record: Record, cache_root: Path) -> Face | None:
    return remembered(
        cache_root,
        f"face-{FACES_VERSION}",
        record.key,
        see=lambda: face_in(load_picture(record.path)),
        read=lambda known: None if known is None else Face(**known),
    )
