"""A picture that a person can judge: Turbo, naive, adapter, dm_aware and the truth, from what scoring left behind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

ARMS = ("turbo", "naive", "adapter", "dm_aware")
ROWS = 4


def draw_grid(runs: Path, concepts: Sequence[str], *, seed: int, path: Path) -> Path | None:
    """Writes the grid of the first captions of each concept; nothing where an arm is missing."""
    import torch

    from loralab.evaluation.grid import Row, labelled_grid
    from loralab.evaluation.pictures import save_png, to_image

    rows = []
    for concept in concepts:
        folders = [runs / concept / f"{arm}_{seed}" for arm in ARMS]
        if not all((folder / "drawn.pt").is_file() for folder in folders):
            return None
        shown = [torch.load(folder / "drawn.pt", weights_only=True) for folder in folders]
        columns = [*(each["drawn"] for each in shown), shown[0]["truth"]]
        captions = json.loads((folders[0] / "captions.json").read_text())
        for index, caption in enumerate(captions[:ROWS]):
            pictures = tuple(to_image(column[index].float() / 127.5 - 1) for column in columns)
            rows.append(Row(caption, pictures))
    return save_png(labelled_grid(rows, columns=[*ARMS, "truth"]), path)
