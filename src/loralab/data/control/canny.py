"""Edges of a video after Canny (1986), by OpenCV: white on black, the control that needs no network.

The thresholds are on the gradient of 8-bit grey (Sobel, sum of the absolute parts): above `high` is an edge, above
`low` is one where it is connected to such. The vendor's script for training references takes 100 and 200 at the
video's own size, its example workflow 92 and 200 at a short side of 512.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import UInt8

from loralab.errors import UserError

LOW, HIGH = 100.0, 200.0


def canny(
    frames: UInt8[np.ndarray, " f h w 3"], *, low: float = LOW, high: float = HIGH
) -> UInt8[np.ndarray, " f h w 3"]:
    """Gives each frame's edges, three equal channels of 0 and 255.

    Raises:
        UserError: thresholds out of order, or OpenCV is missing.
    """
    if not 0 <= low <= high:
        raise UserError(f"low={low:g} high={high:g} must be 0 <= low <= high; {LOW:g} and {HIGH:g} are usual")
    cv2 = opencv()
    edges = np.empty_like(frames)
    for source, target in zip(frames, edges, strict=True):
        target[:] = cv2.Canny(cv2.cvtColor(source, cv2.COLOR_RGB2GRAY), low, high)[..., None]
    return edges


def opencv() -> Any:
    """Gives OpenCV.

    Raises:
        UserError: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise UserError("edges need OpenCV: pip install 'loralab[control]'") from error
    return cv2
