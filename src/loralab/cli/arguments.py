"""`<name> key=value ...`: what is typed after a command that works on a study or on a file."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from loralab.errors import UserError

HIGHEST_RATE = 240


def typed(
    arguments: Sequence[str], *, command: str, known: Sequence[str], subject: str = "the name of a study"
) -> dict[str, str]:
    """Gives what was typed by key; the first word without `=` is the subject, under `name`.

    Raises:
        UserError: for a key that the command does not know, and where the subject is missing.
    """
    found, rest = split(arguments, known=known)
    for argument in rest:
        key = argument.partition("=")[0]
        near = difflib.get_close_matches(key, known) or known
        raise UserError(f"{command}: {key} is no setting; known: {', '.join(near)}")
    return named(found, command=command, subject=subject)


def split(arguments: Sequence[str], *, known: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Gives a command's own settings, and everything else as typed."""
    found: dict[str, str] = {}
    rest = []
    for argument in arguments:
        key, is_set, value = argument.partition("=")
        if not is_set and "name" not in found:
            found["name"] = argument
        elif is_set and key in known:
            found[key] = value.strip("'\"")
        else:
            rest.append(argument)
    return found, rest


def named(found: dict[str, str], *, command: str, subject: str = "the name of a study") -> dict[str, str]:
    """Gives the settings as they are; refuses them without their subject."""
    if not found.get("name"):
        raise UserError(f"{command} needs {subject}: python -m loralab {command} <{subject.split()[1]}>")
    return found


def whole(found: Mapping[str, str], key: str, *, default: int, least: int = 1) -> int:
    """Gives a whole number of at least `least`."""
    text = found.get(key, str(default))
    if not text.isdigit() or int(text) < least:
        raise UserError(f"{key}={text} must be a whole number of at least {least}")
    return int(text)


def number(found: Mapping[str, str], key: str, *, default: float) -> float:
    """Gives a finite number."""
    text = found.get(key, str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{key}={text} must be a number")
    return value


def rate(found: Mapping[str, str], key: str, *, default: str) -> Fraction:
    """Gives frames per second, exactly as typed: 24, 29.97 or 30000/1001."""
    text = found.get(key, default)
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if not 0 < value <= HIGHEST_RATE:
        raise UserError(f"{key}={text} must be above 0 and at most {HIGHEST_RATE}, as 24 or 30000/1001")
    return value


def numbers(found: Mapping[str, str], key: str) -> list[int]:
    """Gives whole numbers, typed as 0,1 or [0,1]; none where nothing is typed."""
    text = found.get(key, "").strip("[] ")
    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isdigit() for part in parts):
        raise UserError(f"{key}={found[key]} must be whole numbers, as {key}=0,1")
    return [int(part) for part in parts]


def flag(found: Mapping[str, str], key: str) -> bool:
    """Gives true or false; false where nothing is typed."""
    text = found.get(key, "false").lower()
    if text not in ("true", "false"):
        raise UserError(f"{key}={found[key]} must be true or false")
    return text == "true"
