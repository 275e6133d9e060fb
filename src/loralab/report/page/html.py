"""A page as one HTML file that needs nothing beside it: style, scripts, figures and pictures are inside.

Every text is escaped by the template; figures lie in a JSON block that no text can close. A content security policy
lets only the page's own script run, by its digest, and lets nothing be loaded from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from loralab.files import atomic_write
from loralab.report.page.charts import NUM_COLOURS, Chart
from loralab.report.page.intervals import IntervalChart
from loralab.report.page.parts import Block, Charts, Details, Page

ASSETS = Path(__file__).with_name("assets")
SCRIPTS = ("tables.js", "charts.js", "facets.js", "zoom.js", "page.js")


def write_page(page: Page, path: Path) -> Path:
    """Writes a page; returns its path."""
    return atomic_write(path, html(page))


def html(page: Page) -> str:
    """Gives a page as text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = "\n" + "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS)
    numbers = itertools.count()
    return environment.get_template("page.html.jinja").render(
        page=page,
        sections=[section for section in page.sections if section.blocks],
        style=Markup((ASSETS / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data={"title": page.title, "charts": [each.to_dict() for each in _charts(page)]},
        next_chart=lambda: next(numbers),
        num_colours=NUM_COLOURS,
    )


def _charts(page: Page) -> Iterator[Chart | IntervalChart]:
    """Gives all charts in the order in which the template meets them."""
    for section in page.sections:
        yield from _inside(section.blocks)


def _inside(blocks: tuple[Block, ...]) -> Iterator[Chart | IntervalChart]:
    for block in blocks:
        if isinstance(block, Charts):
            yield from block.charts
        elif isinstance(block, Details):
            yield from _inside(block.blocks)
