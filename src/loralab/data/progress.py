"""Progress bars that show what takes long and keep logs short."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(label: str, *, total: int, shown: bool = True) -> tqdm[Any]:
    """Gives a bar that appears after a second; redrawn rarely where nobody watches it live."""
    interval = 0.5 if sys.stderr.isatty() else 20.0
    return tqdm(total=total, desc=label, delay=1.0, mininterval=interval, disable=not shown)
