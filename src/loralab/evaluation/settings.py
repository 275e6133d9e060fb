"""What is looked at and measured once there is an adapter file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from loralab.denoiser import Denoiser, Model
from loralab.errors import UserError
from loralab.evaluation.bar import bar
from loralab.evaluation.drawing import Drawing, Prompts
from loralab.evaluation.features import FeatureNet
from loralab.evaluation.fewstep import FewStepTest, num_pictures, score_few_step
from loralab.evaluation.fewstep_drawing import Subject
from loralab.evaluation.previews import Previews, draw_columns, write_preview
from loralab.evaluation.style import Concept, StyleTest, score_style


@dataclass(frozen=True)
class Evaluation:
    """The parts of an evaluation; None leaves one out.

    Attributes:
        drawing: how pictures are drawn.
        previews: pictures to look at.
        style: figures, where the true pictures of held-out captions are known.
        fewstep: figures of a distilled checkpoint, at its own number of steps and at 32.
    """

    drawing: Drawing = field(default_factory=Drawing)
    previews: Previews | None = None
    style: StyleTest | None = None
    fewstep: FewStepTest | None = None

    def require_drawable(self, model: Model) -> None:
        """Refuses what spoils a checkpoint's pictures, before anything is loaded.

        Raises:
            UserError: as the family puts it, and for a model of clips.
        """
        if not isinstance(model, Denoiser):
            raise UserError(
                f"evaluation: model={model.name} draws clips, and this evaluation draws pictures. Choose "
                "evaluation=video_preview or none."
            )
        self.drawing.require_drawable(model)

    def run(
        self,
        denoiser: Denoiser,
        *,
        adapter: Path,
        folder: Path,
        captions: Sequence[str],
        concept: Concept | None = None,
        held_out: Subject | None = None,
    ) -> dict[str, Any]:
        """Draws and scores the adapter file; gives what `result.json` says about it.

        The transformer is loaded afresh, so that the pictures are the file's and the text encoder never
        stands beside it in memory.

        Args:
            denoiser: the base.
            adapter: the adapter file.
            folder: the run's folder; pictures go to `previews`, earlier adapters come from `snapshots`.
            captions: for previews without prompts of their own, best those that training did not see.
            concept: held-out captions with their true pictures, if known; they are previewed before
                `captions`.
            held_out: pictures that training did not see, for few steps; None takes those of `concept`.
        """
        texts = self._previewed(captions, concept=concept)
        scored = None if concept is None or self.style is None else concept.limited(self.style)
        subject = self._subject(concept.subject if held_out is None and concept is not None else held_out)
        wanted = [
            *texts, *(scored.captions if scored else ()), *(subject.captions if subject else ())
        ]  # fmt: skip
        if not wanted:
            return {}
        denoiser.release("transformer")
        prompts = self.drawing.encode(denoiser, list(dict.fromkeys(wanted)))
        result: dict[str, Any] = {}
        if texts:
            grid = self._preview(
                denoiser, adapter, folder=folder, prompts=prompts.select(texts), concept=concept
            )
            result["preview"] = grid.relative_to(folder).as_posix()
        if scored is not None:
            result["style"] = self._score(denoiser, adapter, concept=scored, prompts=prompts)
        if subject is not None:
            result["fewstep"] = self._few_steps(denoiser, adapter, subject=subject, prompts=prompts)
        return result

    def _subject(self, known: Subject | None) -> Subject | None:
        """Gives what is drawn to test few steps; without any true picture there is nothing to compare with."""
        if self.fewstep is None:
            return None
        return self.fewstep.limited(known or Subject((), torch.empty(0, 3, 1, 1)))

    def _previewed(self, captions: Sequence[str], *, concept: Concept | None) -> tuple[str, ...]:
        if self.previews is None:
            return ()
        return self.previews.chosen(captions if concept is None else concept.held_out)

    def _preview(
        self, denoiser: Denoiser, adapter: Path, *, folder: Path, prompts: Prompts, concept: Concept | None
    ) -> Path:
        assert self.previews is not None
        seeds = self.previews.seeds
        snapshots = self.previews.spaced(sorted((folder / "snapshots").glob("*.safetensors")))
        adapters = {**{path.stem: path for path in snapshots}, "adapter": adapter}
        num_pictures = (len(adapters) + 1) * len(prompts.texts) * len(seeds)
        with bar("preview", total=num_pictures) as progress:
            columns = draw_columns(
                denoiser, adapters, prompts=prompts, seeds=seeds, drawing=self.drawing, progress=progress
            )
        truths = {} if concept is None else concept.pictures()
        if truths.keys() >= set(prompts.texts):
            columns["truth"] = tuple(truths[text] for text in prompts.texts for _ in seeds)
        return write_preview(folder / "previews", columns, prompts=prompts.texts, seeds=seeds)

    def _score(
        self, denoiser: Denoiser, adapter: Path, *, concept: Concept, prompts: Prompts
    ) -> dict[str, Any]:
        assert self.style is not None
        num_pictures = (2 * len(concept.held_out) + 3 * len(concept.no_trigger)) * len(self.style.seeds)
        with bar("score", total=num_pictures) as progress:
            score = score_style(
                denoiser,
                adapter,
                concept=concept,
                prompts=prompts,
                test=self.style,
                drawing=self.drawing,
                network=FeatureNet(),
                progress=progress,
            )
        return score.to_dict()

    def _few_steps(
        self, denoiser: Denoiser, adapter: Path, *, subject: Subject, prompts: Prompts
    ) -> dict[str, Any]:
        assert self.fewstep is not None
        with bar("few steps", total=num_pictures(subject)) as progress:
            return score_few_step(
                denoiser,
                adapter,
                subject=subject,
                prompts=prompts,
                drawing=self.drawing,
                network=FeatureNet(),
                num_axes=self.fewstep.num_axes,
                progress=progress,
            )
