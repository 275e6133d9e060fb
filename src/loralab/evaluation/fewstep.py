"""Has a distilled checkpoint stayed one? An adapter file at the checkpoint's own number of steps and at 32.

Held-out captions are drawn at both from the same noise, captions without the trigger at the checkpoint's own:

- frechet, frechet_32, nfe_gap: distance of the drawn set to the true one at few steps, at many, and their quotient. A
  model that has become a plain velocity regression needs many steps, so its gap grows: above 1.3 it is de-distilling.
- sharpness: Laplacian energy beside the untouched checkpoint's on the same captions and noise; below 0.75 is blur.
  sharpness_of_truth: beside the true pictures', which says more of a concept with more or less detail of its own;
  left out where they are of another size than is drawn.
- accuracy: the share of pictures that look like the true ones rather than like those of captions without the trigger.
- prior_frechet, drift: what the adapter did to captions without the trigger, as a set and picture by picture.

The truth is a set of pictures, not one for each caption: a caption leaves much open, and few steps must choose. It is
taken as the checkpoint's VAE keeps it, where it has the size that is drawn: what that loses is no adapter's doing, and
would dilute every ratio. Where
the truth of captions without the trigger is not known, the checkpoint's own pictures from other noise stand for it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loralab.denoiser import Denoiser
from loralab.errors import UserError
from loralab.evaluation.distribution import Reference, drift, nfe_gap, share_of_kin, sharpness
from loralab.evaluation.drawing import Drawing, Prompts
from loralab.evaluation.features import FeatureNet
from loralab.evaluation.fewstep_drawing import (
    OTHER_SEED,
    FewStepDrawn,
    Subject,
    draw_few_step,
    draw_prior,
    drawn_by,
    kept,
)
from loralab.evaluation.sampler import Progress

FEWEST = 8


@dataclass(frozen=True)
class FewStepTest:
    """How much is drawn to see whether a checkpoint still draws in few steps.

    Attributes:
        num_held_out: captions with the trigger; as many as have true pictures, if those are fewer.
        num_no_trigger: captions without it.
        prompts: of what should stay as it is; None takes the concept's captions without the trigger.
        num_axes: of the Fréchet distance (loralab.evaluation.distribution).
    """

    num_held_out: int = 128
    num_no_trigger: int = 64
    prompts: Sequence[str] | None = None
    num_axes: int = 8

    def __post_init__(self) -> None:
        counts = {"num_held_out": self.num_held_out, "num_no_trigger": self.num_no_trigger}
        problems = [
            f"{key}={value} must be at least {FEWEST}" for key, value in counts.items() if value < FEWEST
        ]
        problems += [f"num_axes={self.num_axes} must be at least 1"] * (self.num_axes < 1)
        problems += ["prompts=[] keeps nothing; null takes captions"] * (
            self.prompts is not None and not self.prompts
        )
        if problems:
            raise UserError(
                f"evaluation.fewstep: {'; '.join(problems)}. evaluation.fewstep=null leaves it out"
            )

    def limited(self, subject: Subject) -> Subject:
        """Gives what of a subject is drawn.

        Raises:
            UserError: where there are too few true pictures for a distance of sets.
        """
        first = subject.first(self.num_held_out, self.num_no_trigger)
        if len(first.held_out) < FEWEST:
            raise UserError(
                f"evaluation.fewstep compares sets, and only {len(first.held_out)} pictures are held out: at least "
                f"{FEWEST}, better 100 (dataset.validation_fraction, dataset.validation_root), or "
                "evaluation.fewstep=null"
            )
        return first if self.prompts is None else first.asking(self.prompts, count=self.num_no_trigger)


class FewStepScorer:
    """Scores what adapters drew of one subject; the features of the truths are taken once."""

    def __init__(
        self, subject: Subject, *, base: FewStepDrawn, network: FeatureNet, num_axes: int = 8
    ) -> None:
        """Takes the untouched checkpoint's pictures; the true ones are the subject's."""
        self.base, self.network, self._truths = base, network, subject.truths
        self.truth = Reference(network.pooled(subject.truths), num_axes=num_axes)
        known = subject.no_trigger_truths
        self.prior = None if known is None else Reference(network.pooled(known), num_axes=num_axes)

    def score(self, drawn: FewStepDrawn) -> dict[str, float]:
        """Gives plain numbers for JSON; those whose pictures were not drawn are left out."""
        vectors = self.network.pooled(drawn.few)
        precision, recall = self.truth.precision_recall(vectors)
        figures = {
            "frechet": self.truth.frechet(vectors),
            "precision": precision,
            "recall": recall,
            "sharpness": sharpness(drawn.few, reference=self.base.few),
        }
        if drawn.few.shape[-2:] == self._truths.shape[-2:]:
            figures["sharpness_of_truth"] = sharpness(drawn.few, reference=self._truths)
        if self.prior is not None:
            figures["accuracy"] = share_of_kin(vectors, kin=self.truth.vectors, others=self.prior.vectors)
        return figures | self._at_many_steps(drawn, frechet=figures["frechet"]) | self._prior_figures(drawn)

    def _at_many_steps(self, drawn: FewStepDrawn, *, frechet: float) -> dict[str, float]:
        if drawn.many is None:
            return {}
        many = self.truth.frechet(self.network.pooled(drawn.many))
        figures = {
            "frechet_32": many,
            "nfe_gap": nfe_gap(frechet, many),
            "sharpness_32": sharpness(drawn.many, reference=self.base.few),
        }
        if drawn.many.shape[-2:] == self._truths.shape[-2:]:
            figures["sharpness_of_truth_32"] = sharpness(drawn.many, reference=self._truths)
        return figures

    def _prior_figures(self, drawn: FewStepDrawn) -> dict[str, float]:
        if drawn.prior is None or self.base.prior is None or self.prior is None:
            return {}
        return {
            "prior_frechet": self.prior.frechet(self.network.pooled(drawn.prior)),
            "drift": drift(drawn.prior, reference=self.base.prior),
        }


def score_few_step(
    denoiser: Denoiser,
    adapter: Path,
    *,
    subject: Subject,
    prompts: Prompts,
    drawing: Drawing,
    network: FeatureNet,
    num_axes: int = 8,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Draws a subject by the checkpoint and by the adapter file.

    Returns:
        The figures of the adapter; those of the untouched checkpoint under `base`; how many pictures they rest on
        and the seconds that it took.
    """
    started = time.monotonic()
    untouched = drawn_by(denoiser, None, drawing=drawing, progress=progress)
    base = draw_few_step(untouched, subject, prompts=prompts, many_steps=None)
    subject = kept(denoiser, subject, size=base.few.shape[-2:])
    if subject.no_trigger and subject.no_trigger_truths is None:
        stand_in = draw_prior(untouched, subject, prompts=prompts, seed=OTHER_SEED)
        subject = dataclasses.replace(subject, no_trigger_truths=stand_in)
    scorer = FewStepScorer(subject, base=base, network=network, num_axes=num_axes)
    picture = drawn_by(denoiser, adapter, drawing=drawing, progress=progress)
    return {
        **scorer.score(draw_few_step(picture, subject, prompts=prompts)),
        "base": scorer.score(base),
        "num_held_out": len(subject.held_out),
        "num_no_trigger": len(subject.no_trigger),
        "seconds": time.monotonic() - started,
    }


def num_pictures(subject: Subject) -> int:
    """Gives how many pictures `score_few_step` draws."""
    stand_in = 0 if subject.no_trigger_truths is not None else len(subject.no_trigger)
    return 3 * len(subject.held_out) + 2 * len(subject.no_trigger) + stand_in
