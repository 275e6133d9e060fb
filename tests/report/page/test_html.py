from __future__ import annotations

import math

import pytest
from tests.report.page.fixtures import data_of

from loralab.report.page.axes import axis_of
from loralab.report.page.charts import Series, chart
from loralab.report.page.html import html
from loralab.report.page.parts import Cell, Charts, Page, Section, Table, TableRow, Text, number_cell

EVIL = '</script><script>alert(1)</script> <img src=x onerror=alert(2)> & "quotes" ßü🐌\u2028'


def page_of(*blocks: Text | Table | Charts) -> str:
    sections = (Section("What & why?", blocks), Section("Empty", ()))
    return html(Page(title=EVIL, status=EVIL, headline=EVIL, notes=(EVIL,), sections=sections))


def test_no_text_can_leave_its_place() -> None:
    series = Series(name=EVIL, points=((0.0, 1.0), (1.0, 2.0)), key=EVIL)
    table = Table(
        title=EVIL, head=(EVIL,), rows=(TableRow((Cell(EVIL, EVIL, link=f"a b/{EVIL}"),), key=EVIL),)
    )

    text = page_of(Text(EVIL), table, Charts((chart([series], title=EVIL, option=EVIL),), facet="sigma"))

    assert "<img src=x" not in text
    assert "alert(1)</script>" not in text
    assert text.count("<script") == 2
    assert data_of(text)["charts"][0]["series"][0]["name"] == EVIL
    assert data_of(text)["title"] == EVIL


def test_sections_without_content_are_left_out() -> None:
    text = page_of(Text("words"))

    assert 'id="what-why"' in text
    assert "Empty" not in text


def test_a_number_keeps_its_full_value_for_sorting_and_a_gap_has_none() -> None:
    table = Table(
        title="t",
        head=("a", "b"),
        rows=(TableRow((Cell("x"), number_cell(1 / 3))), TableRow((Cell("y"), number_cell(None)))),
    )

    text = page_of(table)

    assert f'<td class="number" data-value="{1 / 3}">0.3333</td>' in text
    assert "<td></td>" in text


@pytest.mark.parametrize(
    ("values", "is_log", "labels"),
    [
        ([1e-4, 1e-1], None, ["0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03", "0.1"]),
        ([0.0, 10.0], None, ["0", "2", "4", "6", "8", "10"]),
        ([1e-30, 1e30], True, None),
        ([3.0], None, None),
    ],
)
def test_ticks_are_round_few_and_inside(
    values: list[float], is_log: bool | None, labels: list[str] | None
) -> None:
    axis = axis_of(values, start=100, end=0, is_log=is_log)

    ticks = axis.ticks()

    assert labels is None or [tick.label for tick in ticks] == labels
    assert 1 <= len(ticks) <= 8
    assert all(-1e-6 <= tick.place <= 100 + 1e-6 for tick in ticks)


def test_a_curve_that_diverges_is_cut_off_and_presses_nothing_flat() -> None:
    series = [
        Series(name="good", points=((0.0, 1.0), (1.0, 0.5))),
        Series(name="bad", points=((0.0, 1.0), (1.0, 1e9))),
    ]

    cut = chart(series, title="t", top=2.0)

    good, bad = cut.drawn
    assert good.places[1][1] - good.places[0][1] > 50
    assert bad.places[1][1] >= 0
    assert all(math.isfinite(y) for _, y in bad.places)
