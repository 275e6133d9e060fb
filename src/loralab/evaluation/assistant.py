"""Is an assistant one? With it a few-step checkpoint must have become a velocity regression model.

Two things tell, on the checkpoint's own pictures from noise that no assistant was trained on:

- the flow-matching error at the few-step sigmas, with it and without: few-step models stand about 30 % above the
  optimum, which an assistant comes near;
- what few steps draw with it, beside what they draw without: blurred, since each step now predicts a mean; and what
  many steps draw with it: sharp again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from loralab.adapter import attached, disabled
from loralab.data.batch import Batch
from loralab.denoiser import Denoiser
from loralab.evaluation.distribution import sharpness
from loralab.evaluation.drawing import Drawing
from loralab.evaluation.looks import AT_ONCE, Latents, Watched, beside, drawn_latents, flow_error
from loralab.evaluation.pictures import save_png

MANY_STEPS = 32
HELD_OUT_SEED = 1_000_000
"""Beyond the noise of any set of pictures that an assistant was trained on."""
CLEAR_FALL = 0.95
"""Less of a fall of the error could be chance over a few pictures; a good assistant takes away nearly a quarter."""


@dataclass(frozen=True, kw_only=True)
class AssistantCheck:
    """What was measured.

    Attributes:
        error_without, error_with: flow-matching error on the checkpoint's own pictures.
        sharpness: of few-step pictures with it, beside those without.
        sharpness_many: the same of many-step pictures with it.
    """

    error_without: float
    error_with: float
    sharpness: float
    sharpness_many: float

    @property
    def problems(self) -> tuple[str, ...]:
        """What speaks against it, one line each."""
        found = []
        if self.error_with > CLEAR_FALL * self.error_without:
            change = self.error_with / self.error_without - 1
            found.append(
                f"the error on own pictures changes by {change:+.1%} only: train longer, or on more pictures"
            )
        if self.sharpness >= 1:
            found.append(
                f"few steps draw as sharp with it ({self.sharpness:.2f}): the checkpoint is still distilled"
            )
        if self.sharpness_many <= self.sharpness:
            found.append(
                f"many steps draw no sharper with it than few ({self.sharpness_many:.2f} beside {self.sharpness:.2f}): "
                "it has blurred the checkpoint for good"
            )
        return tuple(found)

    @property
    def verdict(self) -> str:
        """One sentence."""
        if not self.problems:
            return "this is an assistant: with it the checkpoint is a velocity regression model"
        return "no good assistant: " + "; ".join(self.problems)


def check_assistant(
    denoiser: Denoiser, path: Path, *, prompts: Sequence[str], output: Path, drawing: Drawing
) -> AssistantCheck:
    """Draws and measures with the adapter file and without; leaves `grid.png` in `output`."""
    watched = Watched(drawing.encode(denoiser, prompts), first_seed=HELD_OUT_SEED)
    num_steps = denoiser.sampling.num_steps
    with disabled(denoiser.transformer):
        own = drawn_latents(denoiser, watched, num_steps=num_steps)
        batches = _batches(own, watched)
        error_without = flow_error(denoiser, batches)
    with attached(denoiser.transformer, path, foreign_names=denoiser.foreign_names):
        error_with = flow_error(denoiser, batches)
        few = drawn_latents(denoiser, watched, num_steps=num_steps)
        many = drawn_latents(denoiser, watched, num_steps=MANY_STEPS)
    denoiser.release("transformer")
    columns = {
        f"without, {num_steps}": denoiser.decode_latents(own),
        f"with, {num_steps}": denoiser.decode_latents(few),
        f"with, {MANY_STEPS}": denoiser.decode_latents(many),
    }
    save_png(beside(columns, watched.prompts.texts), output / "grid.png")
    before, after, longer = columns.values()
    return AssistantCheck(
        error_without=error_without,
        error_with=error_with,
        sharpness=sharpness(after, reference=before),
        sharpness_many=sharpness(longer, reference=before),
    )


def _batches(latents: Latents, watched: Watched) -> list[Batch]:
    """Gives own pictures as batches; each one's noise comes from its seed's name."""
    texts, embeds = watched.prompts.texts, watched.prompts.embeds
    return [
        Batch(
            latents=latents[start : start + AT_ONCE],
            prompt_embeds=list(embeds[start : start + AT_ONCE]),
            weight=torch.ones(len(latents[start : start + AT_ONCE])),
            mask=None,
            index=start,
            captions=texts[start : start + AT_ONCE],
            keys=tuple(f"own/{seed}" for seed in watched.seeds[start : start + AT_ONCE]),
        )
        for start in range(0, len(latents), AT_ONCE)
    ]
