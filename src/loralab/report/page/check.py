"""What a check found, as a page: a table of everything, then the pictures that are meant, small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from loralab.data.audit import LEVELS, Finding, Flagged, worst
from loralab.report.page.gallery import gallery
from loralab.report.page.parts import Block, Cell, Command, Page, Section, Table, TableRow, Text
from loralab.report.reading import Source

SHOWN = 24
"""Pictures of each finding on the page."""
PER_ROW = 6
BUDGET = 400_000
"""Bytes of the pictures of one row."""
LONGEST = 160
HEADLINES = {
    "error": "This run would stop or fail: mend what is an error first.",
    "warning": "This run would train; what is below is probably not meant so.",
    "note": "Nothing to mend.",
}
FOOTER = "Made by python -m loralab check, which makes it again."


def check_page(findings: Sequence[Finding], *, plan: Sequence[str], command: str, folder: Path) -> Page:
    """Makes the page.

    Args:
        findings: everything that was found.
        plan: the lines of the memory plan.
        command: what was typed.
        folder: of the page, to which links are relative.
    """
    level = worst(findings) or "note"
    counts = {each: sum(finding.level == each for finding in findings) for each in LEVELS}
    flagged = [finding for finding in findings if finding.flagged]
    return Page(
        title="Check before training",
        status=f"{counts['error']} errors, {counts['warning']} warnings, {counts['note']} notes",
        is_good=level != "error",
        headline=HEADLINES[level],
        sections=(
            Section("What was found", (_table(findings),)),
            *(Section(_title(finding), tuple(_blocks(finding, folder))) for finding in flagged),
            Section("Memory and time", (Command("\n".join(plan)),) if plan else ()),
            Section("To repeat it", (Command(command),)),
        ),
        footer=FOOTER,
    )


def _table(findings: Sequence[Finding]) -> Table:
    ordered = sorted(findings, key=lambda finding: LEVELS.index(finding.level))
    rows = tuple(
        TableRow((Cell(finding.level), Cell(finding.kind), Cell(finding.message))) for finding in ordered
    )
    return Table(title="Errors, warnings and notes", head=("level", "about", "what"), rows=rows)


def _title(finding: Finding) -> str:
    return f"{finding.kind.capitalize()}: {len(finding.flagged)}"


def _blocks(finding: Finding, folder: Path) -> Iterator[Block]:
    yield Text(finding.message, "bad" if finding.level == "error" else "plain")
    pictures = [each for each in finding.flagged if each.path is not None][:SHOWN]
    for start in range(0, len(pictures), PER_ROW):
        yield from _row(pictures[start : start + PER_ROW], folder)
    rest = [each for each in finding.flagged if each.path is None]
    if rest:
        rows = tuple(TableRow((Cell(each.name), Cell(each.remark))) for each in rest)
        yield Table(title=finding.kind, head=("where", "why"), rows=rows, is_plain=True)
    hidden = len(finding.flagged) - len(rest) - len(pictures)
    if hidden:
        yield Text(f"and {hidden} more", "quiet")


def _row(pictures: Sequence[Flagged], folder: Path) -> Iterator[Block]:
    sources = [Source(each.path, _label(each), "") for each in pictures if each.path is not None]
    found = gallery(sources, beside=folder, title="", budget=BUDGET)
    if found is not None:
        yield found


def _label(each: Flagged) -> str:
    remark = each.remark if len(each.remark) <= LONGEST else each.remark[:LONGEST] + "…"
    return f"{each.name}: {remark}" if remark else each.name
