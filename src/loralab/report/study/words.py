"""Figures as people read them."""

from __future__ import annotations

from typing import Any


def number(value: Any) -> str:
    """Gives four figures of a number, and anything else as it is; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def duration(seconds: float | None) -> str:
    """Gives a time: 42 s, 3.5 min, 2.1 h."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def gibibytes(amount: float | None) -> str:
    """Gives an amount of memory."""
    return f"{amount:.2f} GiB" if amount else ""


def plural(count: int, noun: str) -> str:
    """Gives a count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def trials(numbers: tuple[int, ...], *, most: int = 8) -> str:
    """Names trials, the first few of many."""
    shown = ", ".join(map(str, numbers[:most]))
    rest = len(numbers) - most
    return f"trial{'s' if len(numbers) > 1 else ''} {shown}{f' and {rest} more' if rest > 0 else ''}"
