"""What a study's folder holds after it was looked at: a table, the summary and pictures."""

from __future__ import annotations

import json
from pathlib import Path

from loralab.files import atomic_write
from loralab.report.study.pictures import draw_pictures
from loralab.report.study.summary import Summary
from loralab.report.study.tables import csv_text


def write_summary(summary: Summary, folder: Path) -> list[Path]:
    """Writes trials.csv, study.json and the pictures; gives their paths."""
    return [
        atomic_write(folder / "trials.csv", csv_text(summary.record)),
        atomic_write(folder / "study.json", json.dumps(summary.to_dict(), indent=2, default=str) + "\n"),
        *draw_pictures(summary, folder),
    ]
