"""Scores what bench/turbo.py trained of one concept and seed, always on Turbo, in a process of its own.

Leaves in each run's folder `score.json` (figures of loralab.evaluation.fewstep) and `drawn.pt` (a few pictures for the
grid). Runs that have a score keep it. Everything is drawn from the same noise.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.turbo_arms import BASE, BUDGETS, TURBO, Budget  # noqa: E402  found through the line above

from loralab.adapter import attached  # noqa: E402
from loralab.adapter.load import LOADED  # noqa: E402
from loralab.adapter.roles import ASSISTANT, Roles  # noqa: E402
from loralab.data.emoji.varied_concepts import varied_concept  # noqa: E402
from loralab.denoiser import Denoiser  # noqa: E402
from loralab.errors import UserError  # noqa: E402
from loralab.evaluation import Drawing, FeatureNet, Subject  # noqa: E402
from loralab.evaluation.distribution import Reference, share_of_kin, sharpness  # noqa: E402
from loralab.evaluation.fewstep import FewStepScorer  # noqa: E402
from loralab.evaluation.fewstep_drawing import (  # noqa: E402
    MANY_STEPS,
    PRIOR_SEED,
    Draw,
    FewStepDrawn,
    draw_few_step,
    draw_prior,
    drawn_by,
    kept,
)
from loralab.evaluation.pictures import from_bytes, to_bytes  # noqa: E402
from loralab.files import atomic_path, atomic_write  # noqa: E402

TEACHER_STEPS = 50
SHOWN = 8


def main() -> None:
    """Scores every run of the shard that has an adapter and no score."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--concept", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--arms", nargs="+", required=True)
    parser.add_argument("--assistant", type=Path, required=True)
    parser.add_argument("--budget", choices=BUDGETS, required=True)
    parser.add_argument("--turbo", help="folder of a checkpoint in place of the shipped one")
    parser.add_argument("--base", help="folder of its base; none leaves out what the base draws")
    arguments = parser.parse_args()
    budget = BUDGETS[arguments.budget]
    shard = Shard(arguments.runs, arguments.concept, arguments.seed, budget=budget, turbo=arguments.turbo)
    failures = shard.score(arguments.arms, assistant=arguments.assistant)
    if not (arguments.runs / "base.json").is_file():
        shard.score_base(arguments.base)
    if failures:
        sys.exit("\n".join(failures))


class Shard:
    """One concept and seed: its truths pass the VAE once, Turbo draws once."""

    def __init__(self, runs: Path, concept: str, seed: int, *, budget: Budget, turbo: str | None) -> None:
        """Draws the truths; `turbo` is the folder of a checkpoint in place of the shipped one."""
        self.runs, self.concept, self.seed = runs, concept, seed
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.denoiser = placed(TURBO, self.device, checkpoint=turbo)
        whole = asked(concept).first(2 * budget.held_out, budget.no_trigger)
        truths = kept(self.denoiser, whole, size=whole.truths.shape[-2:])
        self.subject = truths.first(budget.held_out, budget.no_trigger)
        self.other_truths = truths.truths[budget.held_out :]
        self.drawing = Drawing(batch_size=64 if self.device.type == "cuda" else 16)
        self.network = FeatureNet(device=self.device, batch_size=64 if self.device.type == "cuda" else 16)

    def score(self, arms: Sequence[str], *, assistant: Path) -> list[str]:
        """Scores the bare checkpoint, the runs of these arms and the teacher; gives what cannot be scored."""
        missing = [arm for arm in ("turbo", *arms, "teacher") if not self._path(arm).is_file()]
        if not missing:
            return []
        denoiser = self.denoiser
        prompts = self.drawing.encode(denoiser, list(dict.fromkeys(self.subject.captions)))
        base = draw_few_step(drawn_by(denoiser, None, drawing=self.drawing), self.subject, prompts=prompts)
        scorer = FewStepScorer(self.subject, base=base, network=self.network)
        self._write("turbo", base, {**scorer.score(base), **self._floor(scorer)})
        failures = []
        for arm in missing:
            adapter = self._folder(arm if arm != "teacher" else "adapter") / "adapter.safetensors"
            if arm == "turbo" or not adapter.is_file():
                continue
            try:
                with self._drawer(denoiser, adapter, beside=assistant if arm == "teacher" else None) as draw:
                    steps = None if arm == "teacher" else MANY_STEPS  # the teacher draws at many steps only
                    drawn = draw_few_step(draw, self.subject, prompts=prompts, many_steps=steps)
            except UserError as error:
                failures.append(str(error))
                continue
            self._write(arm, drawn, scorer.score(drawn))
            print(f"scored {self._folder(arm)}", flush=True)
        return failures

    def score_base(self, checkpoint: str | None) -> None:
        """Scores the base on captions without the trigger, at Turbo's number of steps and at its own."""
        denoiser = placed(BASE, self.device, checkpoint=checkpoint)
        assert self.subject.no_trigger_truths is not None
        reference = Reference(self.network.pooled(self.subject.no_trigger_truths))
        figures = {}
        for steps in (8, TEACHER_STEPS):
            drawing = dataclasses.replace(self.drawing, num_steps=steps)
            prompts = drawing.encode(denoiser, list(dict.fromkeys(self.subject.no_trigger)))
            draw = drawn_by(denoiser, None, drawing=drawing)
            pixels = draw_prior(draw, self.subject, prompts=prompts, seed=PRIOR_SEED)
            figures[f"prior_frechet_{steps}"] = reference.frechet(self.network.pooled(pixels))
            figures[f"prior_sharpness_{steps}"] = sharpness(pixels, reference=self.subject.no_trigger_truths)
        atomic_write(self.runs / "base.json", json.dumps(figures, indent=1) + "\n")

    @contextlib.contextmanager
    def _drawer(self, denoiser: Denoiser, adapter: Path, *, beside: Path | None) -> Iterator[Draw]:
        """Gives how an adapter file draws, alone or as the teacher: with the assistant beside it, at many steps."""
        if beside is None:
            yield drawn_by(denoiser, adapter, drawing=self.drawing)
            return
        network, names = denoiser.transformer, denoiser.foreign_names
        with (
            attached(network, beside, foreign_names=names, name=ASSISTANT),
            attached(network, adapter, foreign_names=names),
            Roles(network).active(ASSISTANT, LOADED),
        ):
            slow = dataclasses.replace(self.drawing, num_steps=TEACHER_STEPS)
            yield lambda prompts, seeds, _: slow.draw(denoiser, prompts, seeds=seeds)

    def _floor(self, scorer: FewStepScorer) -> dict[str, float]:
        """Gives the figures of other true pictures: what no adapter can be expected to undercut."""
        assert scorer.prior is not None
        vectors = self.network.pooled(self.other_truths)
        precision, recall = scorer.truth.precision_recall(vectors)
        return {
            "floor": scorer.truth.frechet(vectors),
            "truth_sharpness": sharpness(self.other_truths, reference=self.subject.truths),
            "truth_precision": precision,
            "truth_recall": recall,
            "truth_accuracy": share_of_kin(vectors, kin=scorer.truth.vectors, others=scorer.prior.vectors),
        }

    def _folder(self, arm: str) -> Path:
        return self.runs / self.concept / f"{arm}_{self.seed}"

    def _path(self, arm: str) -> Path:
        return self._folder(arm) / "score.json"

    def _write(self, arm: str, drawn: FewStepDrawn, figures: dict[str, Any]) -> None:
        folder = self._folder(arm)
        folder.mkdir(parents=True, exist_ok=True)
        shown = {"drawn": to_bytes(drawn.few[:SHOWN]), "truth": to_bytes(self.subject.truths[:SHOWN])}
        with atomic_path(folder / "drawn.pt") as temporary:
            torch.save(shown, temporary)
        atomic_write(folder / "captions.json", json.dumps(self.subject.held_out[:SHOWN]))
        atomic_write(self._path(arm), json.dumps(figures, indent=1) + "\n")


def asked(concept: str) -> Subject:
    """Gives what is asked for: pictures held out of the emoji that training shows, and others without the trigger."""
    found = varied_concept(concept)
    known, plain = (
        torch.stack([from_bytes(picture.pixels()) for picture in part])
        for part in (found.known, found.no_trigger)
    )
    captions, others = (
        tuple(picture.caption for picture in part) for part in (found.known, found.no_trigger)
    )
    return Subject(captions, known, others, plain)


def placed(model: str, device: torch.device, *, checkpoint: str | None) -> Denoiser:
    """Makes a model of conf/model in fp32 on the device."""
    from hydra.utils import instantiate

    from loralab.cli.compose import composed_run
    from loralab.config import model_arguments
    from loralab.memory import Placement

    replaced = [f"model.assume_base={model}"]  # of base2turbo, which is what that arm is about
    replaced += [] if checkpoint is None else [f"model.checkpoint={checkpoint}"]
    denoiser: Denoiser = instantiate(model_arguments(composed_run([f"model={model}", *replaced])))
    denoiser.place(Placement(device, torch.float32))
    return denoiser


if __name__ == "__main__":
    main()
