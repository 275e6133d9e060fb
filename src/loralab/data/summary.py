"""What the log says about a collection."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from loralab.data.collect import Collection

SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)
SHOWN_BUCKETS = 12


def summary_lines(collection: Collection) -> Iterator[str]:
    """Yields the counts and what is worth a second look."""
    yield (
        f"pictures: {len(collection.train)} to train on, {len(collection.validation)} for validation, "
        f"{len(collection.regularization)} for regularisation, {len(collection.problems)} left out"
    )
    buckets = collection.buckets
    shown = ", ".join(f"{bucket}: {count}" for bucket, count in list(buckets.items())[:SHOWN_BUCKETS])
    rest = len(buckets) - SHOWN_BUCKETS
    yield f"buckets (showings per epoch): {shown}" + (f" and {rest} more" if rest > 0 else "")
    yield from (f"left out: {problem}" for problem in collection.problems)
    words = Counter(word.lower() for record in collection.train for word in SIDES.findall(record.caption))
    if collection.showing.flip and words:
        yield f"dataset.flip mirrors pictures, but captions say left or right {words.total()} times"
