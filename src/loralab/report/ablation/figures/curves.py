"""Validation loss over steps: the mean of each cell's seeds, and the band from the lowest to the highest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from loralab.report.ablation.figures.canvas import BASELINE_COLOUR, PAGE_IN, canvas, colour, mark
from loralab.report.ablation.record import FINISHED, PLANNED, AblationRecord, RunRecord

MOST = 8
"""Cells whose lines can be told apart."""


def draw_curves(record: AblationRecord, stem: Path) -> list[Path]:
    """Draws the planned runs; nothing where none has a curve of two points, or where there are too many cells."""
    own = {
        cell.name: [
            run
            for run in record.runs
            if (run.cell, run.purpose, run.status) == (cell.name, PLANNED, FINISHED) and len(run.curve) > 1
        ]
        for cell in record.cells
    }
    shown = {name: runs for name, runs in own.items() if runs}
    if not shown or len(shown) > MOST:
        return []
    told = "; ".join(f"{name}: {_end(runs)}" for name, runs in shown.items())
    with canvas(
        stem, width_in=PAGE_IN, height_in=2.4, title=f"{record.title}: validation loss", told=told
    ) as made:
        axis = made.figure.subplots()
        for index, (name, runs) in enumerate(shown.items()):
            steps, losses = _together(runs)
            seen = BASELINE_COLOUR if index == 0 else colour(index - 1)
            axis.plot(
                steps, losses.mean(0), color=seen, marker=mark(index), markersize=2.5,
                label=f"{name} (n = {len(runs)})",
            )  # fmt: skip
            axis.fill_between(steps, losses.min(0), losses.max(0), color=seen, alpha=0.12, linewidth=0)
        axis.set_xlabel("step")
        axis.set_ylabel("validation loss")
        made.figure.legend(loc="outside right upper")
    return made.paths


def _together(runs: list[RunRecord]) -> tuple[list[int], np.ndarray]:
    """Gives the steps that all curves have, and the losses there, a row for each run."""
    steps = sorted(set.intersection(*(set(dict(run.curve)) for run in runs)))
    return steps, np.array([[dict(run.curve)[step] for step in steps] for run in runs])


def _end(runs: list[RunRecord]) -> str:
    steps, losses = _together(runs)
    return f"{losses[:, 0].mean():.4g} at step {steps[0]}, {losses[:, -1].mean():.4g} at step {steps[-1]}"
