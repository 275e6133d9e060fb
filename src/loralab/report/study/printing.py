"""Sections on the screen: with colour and rules on a terminal, plain aligned columns everywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from loralab.report.study.sections import Section

if TYPE_CHECKING:
    from rich.console import Console


def show(sections: Sequence[Section]) -> None:
    """Prints sections to standard output."""
    from rich.console import Console

    console = Console(highlight=False)
    if console.is_terminal:
        _richly(console, sections)
    else:
        print(plain(sections))


def plain(sections: Sequence[Section]) -> str:
    """Gives sections as text; no line is broken, so that commands can be copied."""
    return "\n\n".join(
        "\n".join([each.title, *_aligned(each.table), *_indented(each.lines)]) for each in sections
    )


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _richly(console: Console, sections: Sequence[Section]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    for section in sections:
        console.print(Text(section.title, style="bold"))
        if section.table:
            head, *rows = section.table
            table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
            for index, name in enumerate(head):
                table.add_column(Text(name), justify="left" if index == 0 else "right")
            for row in rows:
                table.add_row(*map(Text, row))
            console.print(table)
        for line in section.lines:
            console.print(Text(line), soft_wrap=True)
        console.print()
