"""The picture of `bench/packed.py`: trials per hour against memory, a panel for each model and resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.packed_tables import trials_per_hour
from bench.tables import NAMES, by_card

Row = Mapping[str, Any]


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draws packs of the first card as lines over their widths, beside the reference and a trial alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    card, rows = next(iter(by_card([dict(row) for row in rows if "failed" not in row]).items()))
    resolutions = sorted({row["resolution"] for row in rows})
    labels = list(dict.fromkeys(row["label"] for row in rows))
    handles: dict[str, Any] = {}
    figure = Figure(figsize=(12, 4 * len(resolutions)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(resolutions), len(NAMES), squeeze=False)
    for across, resolution in zip(panels, resolutions, strict=True):
        for axes, model in zip(across, NAMES, strict=True):
            shown = [row for row in rows if (row["model"], row["resolution"]) == (model, resolution)]
            for place, label in enumerate(labels):
                own = sorted((row for row in shown if row["label"] == label), key=lambda row: row["width"])
                if own:
                    handles[label] = _line(axes, own, color=f"C{place}")
            axes.set(title=f"{NAMES[model]}, {resolution}x{resolution}", xlabel="peak GiB")
            axes.set(xlim=(0, None), ylim=(0, 1.1 * axes.get_ylim()[1]))
            axes.grid(alpha=0.3)
        across[0].set_ylabel("trials of 1,000 steps per hour")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(f"Numbers are trials at a time; without a number: one after another. {card}")
    figure.savefig(path, dpi=110)


def _line(axes: Any, rows: Sequence[Row], *, color: str) -> Any:
    """Draws one way of holding the base: a trial alone as a ring, packs as a line."""
    for row in rows:
        if row["width"] == 0:
            mark = "s" if row["variant"] == "reference" else "o"
            only = axes.scatter(
                row["peak_gib"], trials_per_hour(row), marker=mark, facecolors="none", edgecolors=color, s=55
            )
    packs = [row for row in rows if row["width"]]
    if not packs:
        return only
    x, y = [row["peak_gib"] for row in packs], [trials_per_hour(row) for row in packs]
    (line,) = axes.plot(x, y, marker="o", color=color)
    for row, left, up in zip(packs, x, y, strict=True):
        axes.annotate(str(row["width"]), (left, up), xytext=(0, 5), textcoords="offset points", fontsize=8)
    return line
