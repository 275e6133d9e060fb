"""A study in pictures; each is drawn where there is something to draw."""

from __future__ import annotations

from pathlib import Path

from loralab.report.study.pictures.curves import draw_curves
from loralab.report.study.pictures.history import draw_history
from loralab.report.study.pictures.importance import draw_importance
from loralab.report.study.pictures.pareto import draw_pareto
from loralab.report.study.summary import Summary

__all__ = ["draw_pictures"]


def draw_pictures(summary: Summary, folder: Path) -> list[Path]:
    """Writes history.png, importance.png, curves.png and pareto.png; gives those that there are."""
    drawn = [
        draw_history(summary, folder / "history.png"),
        draw_importance(summary, folder / "importance.png"),
        draw_curves(summary, folder / "curves.png"),
        draw_pareto(summary, folder / "pareto.png"),
    ]
    return [path for path in drawn if path is not None]
