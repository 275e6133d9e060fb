"""What is looked at once there is an adapter file of a video model."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loralab.data.video.records import ClipRecord
from loralab.data.video.references import ReferenceRules
from loralab.denoiser import ClipDenoiser, Model
from loralab.errors import UserError
from loralab.evaluation.bar import bar
from loralab.evaluation.previews import spaced
from loralab.evaluation.video.drawing import ClipDrawing
from loralab.evaluation.video.output import write_clips
from loralab.evaluation.video.previews import ClipPreviews
from loralab.evaluation.video.rendering import BASE, Row, draw_clips, num_steps


@dataclass(frozen=True, kw_only=True)
class ClipEvaluation:
    """Clips of the base beside those of an adapter file, from the same noise.

    Attributes:
        drawing: how clips are drawn.
        previews: which.
    """

    drawing: ClipDrawing = field(default_factory=ClipDrawing)
    previews: ClipPreviews = field(default_factory=ClipPreviews)

    def require_drawable(self, model: Model) -> None:
        """Refuses what cannot be drawn, before anything is loaded; what is the checkpoint's own is taken for right.

        Raises:
            UserError: for a model of pictures, and for sizes, steps and guidance that the model cannot have.
        """
        clips = _of_clips(model)
        if self.drawing != ClipDrawing():
            self.drawing.require_drawable(clips)

    def run_clips(
        self,
        model: ClipDenoiser,
        *,
        adapter: Path,
        folder: Path,
        shown: Sequence[ClipRecord],
        references: ReferenceRules | None = None,
    ) -> dict[str, Any]:
        """Draws with the adapter file; gives what `result.json` says about it.

        The transformer is loaded afresh, so that the clips are the file's and no encoder stands beside it in memory.

        Args:
            model: the base.
            adapter: the adapter file.
            folder: the run's folder; clips go to `previews`, earlier adapters come from `snapshots`.
            shown: clips of the data set, best those that training did not see.
            references: how their control videos are made; None where they have none.
        """
        model.release("transformer")
        requests, truths = self.previews.requests(
            model, shown=shown, references=references, drawing=self.drawing
        )
        seeds = self.previews.seeds
        rows = [Row(request=request, seed=seed) for request in requests for seed in seeds]
        earlier = spaced(sorted((folder / "snapshots").glob("*.safetensors")), self.previews.num_snapshots)
        columns: dict[str, list[Path]] = {
            BASE: [],
            **{path.stem: [path] for path in earlier},
            "adapter": [adapter],
        }
        total = num_steps(model, columns=len(columns), rows=rows, drawing=self.drawing)
        beside = [truth.at(number) for number, truth in enumerate(t for t in truths for _ in seeds)]
        with bar("preview", total=total, unit="step") as progress:
            drawn = draw_clips(model, columns, rows=rows, drawing=self.drawing, progress=progress)
            grid = write_clips(folder / "previews", itertools.chain(drawn, beside), rows=rows)
        return {"preview": grid.relative_to(folder).as_posix()}


def _of_clips(model: Model) -> ClipDenoiser:
    if not isinstance(model, ClipDenoiser):
        raise UserError(
            f"evaluation=video_preview draws clips, and model={model.name} draws pictures. Choose evaluation=preview."
        )
    return model
