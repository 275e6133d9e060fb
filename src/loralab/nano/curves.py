"""Errors over time, from the logs of trainings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from loralab.files import atomic_path

Panel = tuple[str, str, str]
"""Name of a training, key of its log, title."""


def draw_curves(
    out: Path, panels: Sequence[Panel], *, path: Path, inches: tuple[float, float] = (4, 3)
) -> Path:
    """Writes a panel of these inches for each training whose log is in `out`, all side by side; returns the path."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(inches[0] * len(panels), inches[1]), squeeze=False, layout="constrained"
    )
    for axis, (name, key, title) in zip(axes[0], panels, strict=True):
        lines = (out / f"{name}_log.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        axis.plot([row["s"] / 60 for row in rows], [row[key] for row in rows], linewidth=1)
        axis.set(title=title, xlabel="minutes", yscale="log")
        axis.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    pyplot.close(figure)
    return path
