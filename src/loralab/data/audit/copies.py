"""Pictures that are nearly the same: exported twice, resized, recompressed, cropped by a hair.

Two are, where their fingerprints differ in at most 6 of 64 bits and their grey thumbnails correlate by at least 0.95.
The second asks what the first cannot: on flat ground most bits are 0, and drawings on white share them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from loralab.data.audit.looks import Look

MOST_BITS, LEAST_CORRELATION = 6, 0.95
ROWS_AT_ONCE = 1024


def copies(looks: Sequence[Look]) -> list[list[int]]:
    """Gives groups of pictures that are nearly the same, by their place; each of at least two."""
    leader = list(range(len(looks)))

    def root(place: int) -> int:
        while leader[place] != place:
            place = leader[place]
        return place

    for first, second in _pairs(looks):
        leader[max(root(first), root(second))] = min(root(first), root(second))
    groups: dict[int, list[int]] = {}
    for place in range(len(looks)):
        groups.setdefault(root(place), []).append(place)
    return [group for group in groups.values() if len(group) > 1]


def _pairs(looks: Sequence[Look]) -> Iterator[tuple[int, int]]:
    hashes = np.array([look.dhash for look in looks], dtype=np.uint64)
    for start in range(0, len(looks), ROWS_AT_ONCE):
        rows = hashes[start : start + ROWS_AT_ONCE]
        distances = np.bitwise_count(rows[:, None] ^ hashes[None, :])
        for row, column in np.argwhere(distances <= MOST_BITS):
            first, second = int(start + row), int(column)
            if first < second and _correlation(looks[first], looks[second]) >= LEAST_CORRELATION:
                yield first, second


def _correlation(first: Look, second: Look) -> float:
    """Correlates two thumbnails; two of one colour each are as alike as their colours."""
    one, other = (
        np.frombuffer(bytes.fromhex(look.thumb), np.uint8).astype(float) for look in (first, second)
    )
    if one.std() < 1 or other.std() < 1:
        return float(abs(one - other).max() <= 1)
    return float(np.corrcoef(one, other)[0, 1])
