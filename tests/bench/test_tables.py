"""A row is compared with the reference of its own card, or with none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.tables import draw_pareto, tables


def row(device: str, **changes: Any) -> dict[str, Any]:
    usual = {
        "model": "flux2_klein4b", "variant": "ours", "resolution": 1024, "batch": 1, "rank": 16, "tokens": 4608,
        "label": "int8", "ms": 100.0, "peak_gib": 5.0, "device": device,
    }  # fmt: skip
    return usual | changes


REFERENCE = {"variant": "reference", "label": "reference", "ms": 300.0, "peak_gib": 10.0}


def test_ratios_are_taken_within_a_card() -> None:
    rows = [
        row("A", **REFERENCE),
        row("B", ms=50.0),
        row("A"),
        row("B", batch=4),
        row("A", batch=4, **REFERENCE),
    ]

    text = tables(rows)

    a, b = text.split("\n\nB\n\n")
    assert a.startswith("A\n\n")
    assert "| int8 | 100 | 3.00 | 5.00 | 0.50 |" in a
    assert (
        "| int8 | 50 |  | 5.00 |  |" in b
        and "| Klein 4B r16, 1024², batch 4 | int8 | 100 |  | 5.00 |  |" in b
    )


def test_a_case_that_failed_before_it_knew_its_card_is_in_no_table(tmp_path: Path) -> None:
    failed = {key: value for key, value in row("A").items() if key != "device"} | {"failed": "no result"}

    text = tables([failed, row("A")])
    draw_pareto([failed, row("A"), row("B")], tmp_path / "drawn.png")

    assert "failed" not in text and "| int8 | 100 |" in text
    assert (tmp_path / "drawn.png").is_file()
