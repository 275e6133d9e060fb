"""A picture of the noise levels that training draws: what differs most between trainers and is shown by none."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from loralab.files import atomic_path
from loralab.flow import SigmaSampler
from loralab.flow.sigmas import density


def draw_density(sampler: SigmaSampler, path: Path, *, token_counts: Collection[int]) -> Path:
    """Draws p(sigma) for each number of picture tokens that the data holds (at most 8 of them) into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for tokens in sorted(token_counts)[:8]:
        sigma, value = density(sampler, num_tokens=tokens)
        axes.plot(sigma, value, label=f"{tokens} tokens")
    axes.set(xlabel="sigma (0 data, 1 noise)", ylabel="density", xlim=(0, 1), ylim=(0, None))
    axes.set_title("noise levels drawn in training")
    axes.legend(frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return path
