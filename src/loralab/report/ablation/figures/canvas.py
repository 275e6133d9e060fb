"""What the figures of an ablation share: sizes, type, colours, and saving as PDF and SVG.

Colours are those of Okabe and Ito (2008, Color universal design); marks differ as well, so that grey print is read.
"""

from __future__ import annotations

import contextlib
import logging
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loralab.files import atomic_path

COLUMN_IN, PAGE_IN = 3.3, 6.9
"""Widths of one column and of the text of a two-column paper."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKS = "osD^vPX*"
CHARACTERS = 60
"""Of a line that one column has room for."""
BASELINE_COLOUR, FAINT = "#000000", "#999999"
STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 7, "axes.titlesize": 7, "axes.labelsize": 7, "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5, "legend.fontsize": 6.5, "axes.linewidth": 0.6, "lines.linewidth": 1.0, "pdf.fonttype": 42,
    "svg.fonttype": "path", "svg.hashsalt": "loralab", "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.alpha": 0.25, "grid.linewidth": 0.4, "legend.frameon": False,
}  # fmt: skip


@dataclass
class Canvas:
    """A figure on its way; `paths` has its files once it is saved."""

    figure: Any
    paths: list[Path]


@contextlib.contextmanager
def canvas(stem: Path, *, width_in: float, height_in: float, title: str, told: str) -> Iterator[Canvas]:
    """Gives a figure, and saves it as `<stem>.pdf` and `<stem>.svg` when the block ends well.

    Args:
        stem: path without an ending.
        width_in: of the figure.
        height_in: of the figure.
        title: kept in the files.
        told: what is to be seen, for those who do not see it.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    logging.getLogger("fontTools").setLevel(logging.WARNING)  # tells every glyph that it embeds
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasAgg(figure)
        made = Canvas(figure, [])
        yield made
        known: dict[str, dict[str, Any]] = {
            "pdf": {"Title": title, "Subject": told, "CreationDate": None},
            "svg": {"Title": title, "Description": told, "Date": None},
        }
        for kind, metadata in known.items():
            path = stem.with_name(f"{stem.name}.{kind}")
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format=kind, metadata=metadata)
            made.paths.append(path)


@contextlib.contextmanager
def rows(
    stem: Path, cells: Sequence[tuple[str, int]], *, title: str, told: str
) -> Iterator[tuple[Canvas, Any]]:
    """Gives a figure of one column with a row for each cell and its number of seeds, from the top; and its axis."""
    names = [f"{_wrapped(cell)} (n = {number})" for cell, number in cells]
    with canvas(stem, width_in=COLUMN_IN, height_in=_height_of(names), title=title, told=told) as made:
        axis = made.figure.subplots()
        yield made, axis
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(len(names) - 0.4, -0.6)


def _wrapped(cell: str) -> str:
    """Puts each factor of a cell's name on a line of its own: names stand beside the axis of one column."""
    return cell.replace(", ", ",\n")


def below(figure: Any, text: str, *, note: str = "") -> None:
    """Says what is along the bottom, in the middle of the figure, whose axis may be narrow beside long names."""
    lines = textwrap.wrap(text, CHARACTERS)
    figure.supxlabel("\n".join([*lines, note] if note else lines), fontsize=STYLE["axes.labelsize"])


def _height_of(names: Sequence[str]) -> float:
    """Gives the inches that a row for each name needs, with what stands below."""
    return 0.8 + sum(max(0.26, 0.13 * (1 + name.count("\n"))) for name in names)


def colour(index: int) -> str:
    """Gives the colour of the index-th thing that is told apart."""
    return COLOURS[index % len(COLOURS)]


def mark(index: int) -> str:
    """Gives its mark."""
    return MARKS[index % len(MARKS)]
