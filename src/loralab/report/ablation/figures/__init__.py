"""Figures for a two-column paper: PDF and SVG with every font inside, in colours that the colour-blind tell apart."""

from __future__ import annotations

from pathlib import Path

from loralab.report.ablation.figures.curves import draw_curves
from loralab.report.ablation.figures.differences import draw_differences
from loralab.report.ablation.figures.interactions import draw_interactions
from loralab.report.ablation.figures.values import draw_values
from loralab.report.ablation.record import AblationRecord
from loralab.report.ablation.tables import slug

__all__ = ["draw_differences", "draw_figures", "draw_values"]


def draw_figures(record: AblationRecord, folder: Path) -> list[Path]:
    """Draws what the record has figures for; gives the files."""
    found: list[Path] = []
    for metric in record.metrics:
        name = slug(metric.key)
        found += draw_values(record, metric, folder / f"{name}_values")
        found += draw_differences(record, metric, folder / f"{name}_differences")
        found += draw_interactions(record, metric, folder / f"{name}_interactions")
    return found + draw_curves(record, folder / "validation_curves")
