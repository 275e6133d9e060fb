"""How far drawing has come, as a bar."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from tqdm import tqdm

from loralab.evaluation.sampler import Progress


@contextlib.contextmanager
def bar(name: str, *, total: int, unit: str = "picture") -> Iterator[Progress]:
    """Shows how much of `total` is done; sparse lines when the output is no terminal."""
    interval = 0.2 if sys.stderr.isatty() else 15.0
    with tqdm(total=total, desc=name, unit=unit, mininterval=interval, maxinterval=interval) as shown:

        def progress(count: int) -> None:
            shown.update(count)

        yield progress
