"""What a user did that cannot work, said so that the way out is in the message."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake in configuration, data or files: the message names key or path, value, limit and the way out."""


def nearest(number: int, *, step: int, rest: int) -> str:
    """Names the positive numbers below and above `number` that are `rest` more than a multiple of `step`."""
    below = (number - rest) // step * step + rest
    return " or ".join(str(choice) for choice in (below, below + step) if choice > 0)


def joined(problems: list[str]) -> str:
    """One message for several problems, each on its own line, so that a user mends them all at once."""
    return "\n".join(f"  - {problem}" for problem in problems)
