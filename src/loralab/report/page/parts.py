"""What a page consists of, as frozen values: sections of text, tables, charts, pictures and commands.

Nothing here is HTML: every text is plain and is escaped where the page is written (`loralab.report.page.html`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from loralab.report.page.charts import Chart
from loralab.report.page.gallery import Gallery
from loralab.report.page.intervals import IntervalChart


@dataclass(frozen=True)
class Cell:
    """A table's cell.

    Attributes:
        text: what is read.
        value: by what it is sorted and compared; None sorts last, the text where it is a text.
        link: where it leads, relative to the page.
        note: a second, smaller line.
    """

    text: str
    value: float | str | None = None
    link: str | None = None
    note: str | None = None

    @property
    def is_number(self) -> bool:
        """Whether it stands at the right."""
        return isinstance(self.value, float)


@dataclass(frozen=True)
class TableRow:
    """A row; `key` ties it to the lines and dots of charts that show the same thing."""

    cells: tuple[Cell, ...]
    key: str | None = None
    status: str | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table; one that is `is_searchable` can be sorted and filtered."""

    kind: ClassVar[str] = "table"
    title: str
    head: tuple[str, ...]
    rows: tuple[TableRow, ...]
    is_searchable: bool = False
    is_plain: bool = False

    def is_numeric(self, column: int) -> bool:
        """Whether a column holds numbers, and gaps, only."""
        cells = [row.cells[column] for row in self.rows if row.cells[column].text]
        return column > 0 and bool(cells) and all(cell.is_number for cell in cells)


@dataclass(frozen=True)
class Text:
    """A paragraph; `tone` is one of plain, quiet, good, bad."""

    kind: ClassVar[str] = "text"
    words: str
    tone: str = "plain"


@dataclass(frozen=True)
class Command:
    """A line to be copied, and what it does."""

    kind: ClassVar[str] = "command"
    line: str
    title: str | None = None


@dataclass(frozen=True)
class Charts:
    """Charts side by side; those that show the same at several levels of `facet` are chosen from."""

    kind: ClassVar[str] = "charts"
    charts: tuple[Chart | IntervalChart, ...]
    facet: str | None = None


@dataclass(frozen=True)
class Details:
    """What is folded away until it is asked for."""

    kind: ClassVar[str] = "details"
    title: str
    blocks: tuple[Block, ...]


Block = Text | Table | Command | Charts | Gallery | Details


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        """The heading as part of an address."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole page.

    Attributes:
        title: what it is about; for the window as well.
        status: how that stands, in a few words, and `is_good` whether that is as it should be.
        headline: what came out, in a sentence.
        sections: in the order of reading; those without content are left out.
        footer: what made it, where that is not the report of a finished folder.
    """

    title: str
    status: str
    headline: str
    sections: tuple[Section, ...]
    is_good: bool = True
    notes: tuple[str, ...] = field(default=())
    footer: str | None = None


def facts(title: str, found: Sequence[tuple[str, str]]) -> Table:
    """Gives a table of names and values."""
    rows = tuple(TableRow((Cell(name), Cell(value))) for name, value in found)
    return Table(title=title, head=(), rows=rows, is_plain=True)


def number_cell(value: float | None, text: str | None = None, *, note: str | None = None) -> Cell:
    """Gives a number with four figures, or as `text` says it; an empty cell for None."""
    if value is None:
        return Cell("", note=note)
    return Cell(f"{value:.4g}" if text is None else text, float(value), note=note)
