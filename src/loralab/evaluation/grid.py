"""One labelled picture of many: a row for each prompt, a column for each way of drawing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

CELL, LARGEST_CELL, GAP, MARGIN = 192, 384, 8, 16
LABEL_WIDTH, FONT_SIZE, LINE = 220, 17, 23
PAPER, INK = (236, 236, 233), (24, 24, 28)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Row:
    """A label and its pictures, one for each column."""

    label: str
    pictures: tuple[Image.Image, ...]


def labelled_grid(
    rows: Sequence[Row], *, columns: Sequence[str], largest_cell: int = LARGEST_CELL
) -> Image.Image:
    """Sets rows of pictures beside their labels, under the names of the columns.

    Small pictures are enlarged by a whole factor with their pixels kept, those that are larger than `largest_cell`
    pixels are reduced.
    """
    cell = _cell_size(rows[0].pictures[0].size, largest=largest_cell)
    font = ImageFont.load_default(FONT_SIZE)
    canvas = _canvas(len(columns), len(rows), cell=cell)
    pen = ImageDraw.Draw(canvas)
    for index, name in enumerate(columns):
        x, _ = _corner(index, 0, cell=cell)
        pen.text((x + cell[0] // 2, MARGIN), name, fill=INK, font=font, anchor="ma")
    for number, row in enumerate(rows):
        _, y = _corner(0, number, cell=cell)
        text = "\n".join(_wrapped(row.label, font=font, max_lines=cell[1] // LINE))
        pen.multiline_text(
            (MARGIN, y + cell[1] // 2), text, fill=INK, font=font, anchor="lm", spacing=LINE - FONT_SIZE
        )
        for index, picture in enumerate(row.pictures):
            canvas.paste(_fitted(picture, cell), _corner(index, number, cell=cell))
    return canvas


def _corner(column: int, row: int, *, cell: tuple[int, int]) -> tuple[int, int]:
    """Gives the upper left corner of a cell."""
    left, top = MARGIN + LABEL_WIDTH + GAP, MARGIN + 2 * FONT_SIZE
    return left + column * (cell[0] + GAP), top + row * (cell[1] + GAP)


def _canvas(num_columns: int, num_rows: int, *, cell: tuple[int, int]) -> Image.Image:
    right, bottom = _corner(num_columns, num_rows, cell=cell)
    return Image.new("RGB", (right - GAP + MARGIN, bottom - GAP + MARGIN), PAPER)


def _cell_size(size: tuple[int, int], *, largest: int) -> tuple[int, int]:
    """Gives the size to show a picture at: at least CELL if small, at most `largest` if large."""
    longest = max(size)
    factor = -(-CELL // longest) if longest < CELL else min(1.0, largest / longest)
    return round(size[0] * factor), round(size[1] * factor)


def _fitted(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    enlarged = size[0] > picture.width
    return picture.convert("RGB").resize(
        size, Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
    )


def _wrapped(text: str, *, font: Font, max_lines: int) -> list[str]:
    """Breaks text into lines that fit the label's column; the last line says when some was left out."""
    lines: list[str] = [""]
    for word in text.split():
        for piece in _pieces(word, font=font):
            longer = f"{lines[-1]} {piece}".strip()
            if font.getlength(longer) <= LABEL_WIDTH:
                lines[-1] = longer
            else:
                lines.append(piece)
    return lines if len(lines) <= max_lines else [*lines[: max_lines - 1], "..."]


def _pieces(word: str, *, font: Font) -> list[str]:
    """Cuts a word that alone is wider than the column (long names; scripts written without spaces)."""
    pieces = [""]
    for letter in word:
        if font.getlength(pieces[-1] + letter) > LABEL_WIDTH:
            pieces.append("")
        pieces[-1] += letter
    return pieces
