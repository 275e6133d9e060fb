"""The documentation's table of files is what decoding them gives."""

from __future__ import annotations

from pathlib import Path

from bench.video_files import table

DOCUMENT = Path(__file__).parents[2] / "docs" / "video_data.md"


def test_the_table_of_video_files_is_up_to_date() -> None:
    document = DOCUMENT.read_text(encoding="utf-8").splitlines()

    rows = table().splitlines()

    assert len(rows) > 20
    assert [row for row in rows if row not in document] == []
