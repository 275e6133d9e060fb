"""The line that repeats a trial: `python train.py <overrides>`, which needs nothing of the study."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from loralab.report.study.record import Row, StudyRecord

OF_SWEEPS = re.compile(r"^[+~]*(hydra[./]|study[./=]|trial\.|sweep=)")
"""What says how to search, and where a sweep's runs lie; a single run knows nothing of it."""


def overrides_of(record: StudyRecord, row: Row) -> list[str]:
    """Gives a trial's overrides: those of all trials, what the search set, and the length that counts."""
    typed = [*record.settings["overrides"], *row.overrides, *_safety(record)]
    if row.length is not None:
        typed.append(f"{_length_key(record)}={row.length}")
    return merged(typed)


def recipe_overrides(record: StudyRecord) -> list[str]:
    """Gives the documented setting's overrides: those of all trials, without the length that trials are trained to.

    What was searched is left out, and so has the configuration's own values, which are the documented ones.
    """
    typed = [*record.settings["overrides"], *_safety(record)]
    if record.settings.get("lengths"):
        key, documented = _length_key(record), documented_length(record)
        typed = [each for each in typed if key_of(each) != key]
        typed += [] if documented is None else [f"{key}={documented}"]
    return merged(typed)


def documented_length(record: StudyRecord) -> int | None:
    """Gives the recipe's own number of steps, where the study says."""
    steps = (record.settings.get("recipe") or {}).get(_length_key(record))
    return None if steps is None else int(steps)


def merged(overrides: Iterable[str]) -> list[str]:
    """Gives one override for each key, the last one, without what belongs to sweeps."""
    kept = {key_of(each): each for each in overrides if not OF_SWEEPS.match(each)}
    return list(kept.values())


def key_of(override: str) -> str:
    """Gives what an override sets."""
    return override.partition("=")[0].lstrip("+~")


def command(overrides: Iterable[str]) -> str:
    """Gives the line as it is typed in a shell."""
    return " ".join(["python", "train.py", *map(_quoted, overrides)])


def _quoted(text: str) -> str:
    """Quotes for a shell, with double quotes where those are easier to read."""
    quoted = shlex.quote(text)
    return f'"{text}"' if quoted != text and not set(text) & set('"$`\\!') else quoted


def _length_key(record: StudyRecord) -> str:
    return str((record.settings.get("lengths") or {}).get("key", "steps"))


def _safety(record: StudyRecord) -> list[str]:
    """A study that went beyond the safe ranges needs the same permission to be repeated."""
    safety = record.settings.get("safety", "strict")
    return [] if safety == "strict" else [f"safety={safety}"]
