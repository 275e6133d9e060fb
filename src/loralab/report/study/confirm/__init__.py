"""Whether the best of a study beats the recipe, or was only lucky: both again, over fresh seeds."""

import json
from pathlib import Path

from loralab.files import atomic_write
from loralab.report.study.confirm.arms import Arm, arms_of
from loralab.report.study.confirm.confirmed import DEFAULT_METRICS, Confirmed, confirmed
from loralab.report.study.confirm.picture import draw_confirmed
from loralab.report.study.confirm.runs import Run, require_same, run_all
from loralab.report.study.confirm.sections import confirm_sections, markdown

__all__ = [
    "DEFAULT_METRICS", "Arm", "Confirmed", "Run", "arms_of", "confirm_sections", "confirmed", "require_same", "run_all",
    "write_confirmed",
]  # fmt: skip


def write_confirmed(result: Confirmed, folder: Path, *, name: str = "confirm") -> list[Path]:
    """Writes <name>.json, <name>.md and <name>.png; gives their paths."""
    return [
        atomic_write(folder / f"{name}.json", json.dumps(result.to_dict(), indent=2) + "\n"),
        atomic_write(folder / f"{name}.md", markdown(confirm_sections(result))),
        draw_confirmed(result, folder / f"{name}.png"),
    ]
