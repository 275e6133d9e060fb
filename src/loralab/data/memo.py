"""What a file's content alone decides: found out in threads, once, and remembered below the cache folder."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from loralab.data.progress import progress_bar
from loralab.files import atomic_write

ItemT = TypeVar("ItemT")
SeenT = TypeVar("SeenT")


def in_threads(label: str, items: Sequence[ItemT], see: Callable[[ItemT], SeenT]) -> list[SeenT]:
    """Sees each item, with a progress bar; gives what was seen in the order of the items."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = []
        with progress_bar(label, total=len(items)) as bar:
            for seen in pool.map(see, items):
                found.append(seen)
                bar.update()
    return found


def remembered(
    cache_root: Path,
    kind: str,
    key: str,
    *,
    see: Callable[[], SeenT],
    read: Callable[[Any], SeenT],
    form: str = "",
) -> SeenT:
    """Gives what was seen before, else sees it and remembers it.

    Args:
        cache_root: below which it is remembered.
        kind: of what is seen, with its version.
        key: hash of the content.
        see: finds it out; a dataclass or what JSON holds.
        read: makes it again of what JSON gives.
        form: what it depends on beside the content, in a file name.
    """
    memo = cache_root / "facts" / kind / key[:2] / f"{key}{form}.json"
    with contextlib.suppress(OSError, ValueError, TypeError):
        return read(json.loads(memo.read_text(encoding="utf-8")))
    seen = see()
    with contextlib.suppress(OSError):  # a read-only cache costs time, not the run
        atomic_write(memo, json.dumps(seen, default=asdict))
    return seen
