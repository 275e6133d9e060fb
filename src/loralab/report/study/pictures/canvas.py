"""What the pictures of a study share: panels, colours that the colour-blind tell apart, scales, saving."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from loralab.files import atomic_path
from loralab.report.study.record import FAILED, FINISHED, INFEASIBLE, PRUNED

BEST, RECIPE, PLAIN = "#d55e00", "#0072b2", "#7f7f7f"
COLOURS = {FINISHED: "#333333", PRUNED: "#cc79a7", INFEASIBLE: "#e69f00", FAILED: "#8b0000"}
MARKS = {FINISHED: "o", PRUNED: "v", INFEASIBLE: "s", FAILED: "x"}
LOG_FROM = 8
"""Values that differ by more than this factor are shown on a logarithmic scale."""


@contextlib.contextmanager
def panels(
    path: Path, *, count: int, across: int = 3, size: tuple[float, float] = (4.4, 3.4)
) -> Iterator[Any]:
    """Gives `count` axes in rows, and saves them as a PNG when the block ends well."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    across = 2 if count == 4 else min(across, count)
    down = -(-count // across)
    figure, grid = pyplot.subplots(
        down, across, figsize=(size[0] * across, size[1] * down), squeeze=False, layout="constrained"
    )
    axes = list(grid.flat)
    try:
        for axis in axes:
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(alpha=0.25, linewidth=0.6)
        for axis in axes[count:]:
            axis.set_visible(False)
        yield axes[:count]
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=120)
    finally:
        pyplot.close(figure)


def legend(axes: Sequence[Any]) -> None:
    """Explains all panels once, above them, where no point can lie beneath."""
    found = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    if found:
        axes[0].figure.legend(
            found.values(),
            found.keys(),
            loc="outside upper center",
            ncols=min(len(found), 6),
            fontsize=8,
            frameon=False,
        )


def scale(values: Sequence[float]) -> str:
    """Gives the scale on which values can be told apart: log or linear."""
    is_wide = min(values, default=0) > 0 and max(values) > LOG_FROM * min(values)
    return "log" if is_wide else "linear"


def mark_scale(axis: Any, which: str, values: Sequence[float], *, is_log: bool | None = None) -> None:
    """Sets an axis' scale, with plain numbers at few ticks where a logarithmic one spans little."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    chosen = scale(values) if is_log is None else ("log" if is_log else "linear")
    if chosen == "linear":
        return
    axis.set(**{f"{which}scale": "log"})
    ruler = axis.xaxis if which == "x" else axis.yaxis
    decades = max(values) / min(values)
    if decades < 1000:
        ruler.set_major_locator(LogLocator(subs=(1.0,) if decades > 100 else (1.0, 2.0, 5.0)))
        ruler.set_major_formatter(StrMethodFormatter("{x:g}"))
    ruler.set_minor_formatter(NullFormatter())
