"""What a user did that cannot work, said so that the way out is in the message."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake in configuration, data or files: the message names key or path, value, limit and the way out."""


def joined(problems: list[str]) -> str:
    """One message for several problems, each on its own line, so that a user mends them all at once."""
    return "\n".join(f"  - {problem}" for problem in problems)
