"""Pictures to look at: fixed prompts and seeds, drawn by the base and by adapter files from the same noise.

grid.png                                       all of it, labelled
base/00.png, adapter/00.png, truth/00.png      one picture for each row and column
index.json                                     names of rows and columns, for reports
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from loralab.denoiser import Denoiser
from loralab.errors import UserError, joined
from loralab.evaluation.drawing import Drawing, Prompts
from loralab.evaluation.grid import Row, labelled_grid
from loralab.evaluation.pictures import save_png, to_image
from loralab.evaluation.sampler import Progress
from loralab.files import atomic_write

Columns = dict[str, tuple[Image.Image, ...]]


@dataclass(frozen=True)
class Previews:
    """Which pictures show what an adapter does.

    Attributes:
        prompts: what to draw; None takes the first captions that training does not see.
        num_prompts: how many of those.
        seeds: every prompt is drawn once with each.
        num_snapshots: so many of the kept snapshots, evenly spaced, are drawn as well.
    """

    prompts: Sequence[str] | None = None
    num_prompts: int = 8
    seeds: Sequence[int] = (0,)
    num_snapshots: int = 0

    def __post_init__(self) -> None:
        problems = []
        if self.prompts is not None and not self.prompts:
            problems.append(
                "evaluation.previews.prompts=[] draws nothing: give prompts, or null for captions"
            )
        if self.num_prompts < 1:
            problems.append(f"evaluation.previews.num_prompts={self.num_prompts} must be at least 1")
        if not self.seeds:
            problems.append("evaluation.previews.seeds=[] draws nothing: give at least one")
        if self.num_snapshots < 0:
            problems.append(f"evaluation.previews.num_snapshots={self.num_snapshots} must be at least 0")
        if problems:
            raise UserError("no previews can be drawn so (evaluation=none for none):\n" + joined(problems))

    def chosen(self, captions: Sequence[str]) -> tuple[str, ...]:
        """Gives the configured prompts, else the first of `captions`."""
        return tuple(captions[: self.num_prompts] if self.prompts is None else self.prompts)

    def spaced(self, snapshots: Sequence[Path]) -> list[Path]:
        """Gives `num_snapshots` of the snapshots before the last one, which is the adapter itself."""
        return spaced(snapshots, self.num_snapshots)


def spaced(snapshots: Sequence[Path], count: int) -> list[Path]:
    """Gives `count` of the snapshots before the last one, evenly spaced; all where there are no more."""
    earlier = list(snapshots[:-1])
    count = min(count, len(earlier))
    return [earlier[(2 * index + 1) * len(earlier) // (2 * count)] for index in range(count)]


def render(
    denoiser: Denoiser,
    adapter: str | Path | None,
    *,
    prompts: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
    drawing: Drawing | None = None,
    beside_base: bool = True,
) -> Path:
    """Draws prompts with every seed by an adapter file (None: by the base alone); gives the grid's path."""
    drawing = drawing or Drawing()
    encoded = drawing.encode(denoiser, prompts)
    adapters = {} if adapter is None else {"adapter": adapter}
    columns = draw_columns(
        denoiser,
        adapters,
        prompts=encoded,
        seeds=seeds,
        drawing=drawing,
        beside_base=beside_base or adapter is None,
    )
    return write_preview(folder, columns, prompts=prompts, seeds=seeds)


def draw_columns(
    denoiser: Denoiser,
    adapters: Mapping[str, str | Path],
    *,
    prompts: Prompts,
    seeds: Sequence[int],
    drawing: Drawing,
    beside_base: bool = True,
    progress: Progress | None = None,
) -> Columns:
    """Gives the pictures of the base and of each named adapter file, prompt by prompt with all seeds."""
    rows = prompts.select([text for text in prompts.texts for _ in seeds])
    row_seeds = list(seeds) * len(prompts.texts)
    drawn = {}
    if beside_base:
        drawn["base"] = drawing.draw_base(denoiser, rows, seeds=row_seeds, progress=progress)
    for name, path in adapters.items():
        drawn[name] = drawing.draw_adapter(denoiser, path, prompts=rows, seeds=row_seeds, progress=progress)
    return {name: tuple(to_image(picture) for picture in pixels) for name, pixels in drawn.items()}


def write_preview(folder: Path, columns: Columns, *, prompts: Sequence[str], seeds: Sequence[int]) -> Path:
    """Writes pictures, index and grid; gives the grid's path."""
    named = [(prompt, seed) for prompt in prompts for seed in seeds]
    for name, pictures in columns.items():
        for index, picture in enumerate(pictures):
            save_png(picture, folder / name / f"{index:02d}.png")
    named_rows = [{"prompt": prompt, "seed": seed} for prompt, seed in named]
    listing = {"columns": list(columns), "rows": named_rows}
    atomic_write(folder / "index.json", json.dumps(listing, ensure_ascii=False, indent=2) + "\n")
    labels = [f"{prompt} (seed {seed})" if len(seeds) > 1 else prompt for prompt, seed in named]
    rows = [Row(label, row) for label, row in zip(labels, zip(*columns.values(), strict=True), strict=True)]
    return save_png(labelled_grid(rows, columns=list(columns)), folder / "grid.png")
