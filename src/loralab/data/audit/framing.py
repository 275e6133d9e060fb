"""Whether a set has the shares of close-ups, medium shots and full bodies that a recipe asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from loralab.data.audit.faces import Face, faces_of, has_detector
from loralab.data.audit.finding import Finding, Flagged
from loralab.data.records import Record

WAY = (
    "a column framing in metadata.jsonl or metadata.csv, or a file <name>.framing "
    "(close_up, medium, full_body or none)"
)


def framing_findings(
    records: Sequence[Record], wanted: Mapping[str, tuple[float, float]], *, cache_root: Path
) -> Iterator[Finding]:
    """Yields how pictures are framed, where a recipe asks: as they say themselves, else by their largest face."""
    if not wanted:
        return
    silent = [record for record in records if record.framing is None]
    faces = _faces(silent, cache_root)
    if silent:
        yield from _unsaid(silent, faces, total=len(records))
    framings = {record.name: record.framing for record in records if record.framing is not None}
    framings |= {name: face.framing for name, face in faces.items()}
    people = Counter(framing for framing in framings.values() if framing != "none")
    for framing, (low, high) in wanted.items():
        share = people[framing] / max(people.total(), 1)
        if people and not low <= share <= high:
            yield Finding(
                kind=f"framing {framing}",
                level="warning",
                message=f"{share:.0%} of {people.total()} framed pictures are {framing}; the recipe speaks of "
                f"{low:.0%} to {high:.0%}",
                flagged=tuple(
                    Flagged(r.name, "", r.path) for r in records if framings.get(r.name) == framing
                ),
            )


def _faces(silent: Sequence[Record], cache_root: Path) -> dict[str, Face]:
    if not silent or not has_detector():
        return {}
    found = zip(silent, faces_of(silent, cache_root=cache_root), strict=True)
    return {record.name: face for record, face in found if face is not None}


def _unsaid(silent: Sequence[Record], faces: Mapping[str, Face], *, total: int) -> Iterator[Finding]:
    """Yields what was guessed for pictures that say nothing, to be looked at, and those of which nothing is known."""
    guessed = [record for record in silent if record.name in faces]
    if guessed:
        yield Finding(
            kind="framing by faces",
            level="note",
            message=f"{len(guessed)} of {total} say nothing and go by their largest face, which can be wrong: look "
            f"them over, and where it is give {WAY}",
            flagged=tuple(
                Flagged(r.name, f"{face.framing}: room for {face.visible_heads:.1f} heads", r.path)
                for r in guessed
                for face in [faces[r.name]]
            ),
        )
    unknown = [record for record in silent if record.name not in faces]
    if unknown:
        no_detector = "" if has_detector() else "; pip install 'loralab[framing]' finds faces"
        yield Finding(
            kind="framing unknown",
            level="note",
            message=f"{len(unknown)} of {total} do not say how much of a person they show, and no face was found: give "
            f"{WAY}{no_detector}",
            flagged=tuple(Flagged(r.name, "", r.path) for r in unknown),
        )
