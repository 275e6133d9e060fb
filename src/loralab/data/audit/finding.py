"""What an audit finds: a kind, how bad it is, and which pictures or clips it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Flagged:
    """A picture or clip that a finding is about.

    Attributes:
        name: what the user calls it.
        remark: what is said of this one.
        path: the picture to show, or None.
        group: which others it belongs together with, as copies do.
    """

    name: str
    remark: str = ""
    path: Path | None = None
    group: int = 0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing found.

    Attributes:
        kind: in a word or two.
        level: `error` cannot train, `warning` is probably a mistake, `note` is to be known.
        message: what is the matter, and the way out.
        flagged: which are meant; none where it is about the whole.
    """

    kind: str
    level: Level
    message: str
    flagged: tuple[Flagged, ...] = ()

    def lines(self, *, most: int = 5) -> list[str]:
        """Gives it as lines of text, with the first few that are flagged."""
        shown = [_line(each) for each in self.flagged[:most]]
        rest = len(self.flagged) - most
        return [
            f"{self.level:8} {self.kind}: {self.message}",
            *shown,
            *([f"         and {rest} more"] if rest > 0 else []),
        ]


def worst(findings: Sequence[Finding]) -> Level | None:
    """Gives the worst level, None where nothing was found."""
    found = {finding.level for finding in findings}
    return next((level for level in LEVELS if level in found), None)


def _line(each: Flagged) -> str:
    return f"         {each.name}" + (f": {each.remark}" if each.remark else "")
