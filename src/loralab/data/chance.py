"""Chance without a generator: numbers that are a pure function of their names, the same on every machine."""

from __future__ import annotations

import hashlib


def chance(*names: object) -> float:
    """Gives a number in [0, 1) that only the names determine; different names give independent numbers."""
    return _number(names) / 2**64


def shuffled(count: int, *names: object) -> list[int]:
    """Gives a permutation of range(count) that only the names determine."""
    return sorted(range(count), key=lambda position: _number((*names, position)))


def _number(names: tuple[object, ...]) -> int:
    text = "\x1f".join(map(str, names))
    return int.from_bytes(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )
