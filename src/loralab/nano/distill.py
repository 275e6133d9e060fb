"""Distils the nano Z-Image Base into the nano Z-Image Turbo: 8 steps at shift 3 without guidance, full weights.

The update is that of `loralab.nano.distill_roles`; its clock is the wall's, as in every training of a nano twin. The
student is begun on pairs of the base first. Every so often the average of its weights draws the watched captions; of
the updates that follow the beginning, the one nearest to true pictures is kept.
Files in --out: `pairs.pt`, `distill_state.pt` to resume, `distill_best.pt`, `distill_log.jsonl`.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from loralab.errors import UserError
from loralab.flow import few_step_sigmas
from loralab.nano.budget import Budget
from loralab.nano.distill_draws import Draws, Text
from loralab.nano.distill_pairs import Pairs, pairs_of
from loralab.nano.distill_recipe import Recipe
from loralab.nano.distill_roles import Distillation
from loralab.nano.distill_score import Yardstick, compared
from loralab.nano.distill_world import WATCHED_SEED, World
from loralab.nano.fit import save_state
from loralab.nano.klein import replace_folder
from loralab.nano.zimage_parts import STEPS, scheduler

FIRST_FAKES = 30
"""Rounds of the fake alone: it begins as the base, and has to know the student before it may judge."""
LOG_EVERY, SAVE_EVERY_S, WARMUP_STEPS = 20, 60.0, 20


class Training:
    """A distillation in its world: draws captions, watches its pictures, saves, resumes."""

    def __init__(
        self,
        world: World,
        out: Path,
        *,
        recipe: Recipe,
        resume: bool,
        num_captions: int,
        num_pairs: int,
        seed: int,
    ) -> None:
        self.world, self.out, self.seed = world, out, seed
        self.captions: Text = world.training_captions(num_captions)
        self.distillation = Distillation(world.base, predict=world.predict, empty=world.empty, recipe=recipe)
        self.best, self.spent_s, self.warm_s = float("inf"), 0.0, 0.0
        self._resume(resume)
        out.mkdir(parents=True, exist_ok=True)
        self.pairs: Pairs = pairs_of(
            world,
            self.captions,
            count=num_pairs,
            guidance_scale=recipe.alpha - 1,
            path=out / "pairs.pt",
            seed=seed,
        )

    def _resume(self, allowed: bool) -> None:
        """Takes up the saved state; a state that is there without leave to use it is a mistake to be told."""
        path = self.out / "distill_state.pt"
        if not path.exists():
            return
        if not allowed:
            raise UserError(f"{path} is a distillation already: add --resume, or choose another --out.")
        state = torch.load(path, map_location=self.world.device, weights_only=True)
        self.distillation.load_state_dict(state["distillation"])
        self.best, self.spent_s, self.warm_s = state["best"], state["spent_s"], state["warm_s"]

    def save(self) -> None:
        """Writes the state atomically."""
        clocks = {"best": self.best, "spent_s": self.spent_s, "warm_s": self.warm_s}
        save_state({"distillation": self.distillation.state_dict(), **clocks}, self.out / "distill_state.pt")

    def acquaint(self) -> None:
        """Lets the fake know the student."""
        for index in range(FIRST_FAKES):
            noise, text, draws = self._drawn("acquaint", index=index)
            drawn = self.distillation.draw(self.distillation.student, noise, text=text)
            self.distillation.update_fake(drawn, text=text, draws=draws)

    def rehearse(self) -> None:
        """Asks for a gradient once and forgets it: a compiled network is compiled before any clock runs."""
        pairs, text, draws = self._paired("begin", index=0)
        self.distillation.coupled(pairs, text=text, draws=draws).backward()
        self.distillation.student.zero_grad(set_to_none=True)

    def begin(self, factor: float) -> dict[str, Tensor]:
        """One step on pairs alone; its figures are not waited for."""
        pairs, text, draws = self._paired("begin", index=self.distillation.begun)
        return self.distillation.begin(pairs, text=text, draws=draws, factor=factor)

    def update(self, factor: float) -> dict[str, Tensor]:
        """One update; its figures are not waited for."""
        noise, text, draws = self._drawn("update", index=self.distillation.step)
        pairs, their_text, _ = self._paired("pairs", index=self.distillation.step)
        return self.distillation.update(
            noise, text=text, draws=draws, factor=factor, pairs=(pairs, their_text)
        )

    def keep_if_best(self, distance: float) -> None:
        """Writes the averaged student if no earlier one was nearer to true pictures."""
        if distance < self.best:
            self.best = distance
            save_state(self.distillation.average.state_dict(), self.out / "distill_best.pt")

    def _paired(self, stream: str, *, index: int) -> tuple[Pairs, Text, Draws]:
        draws = Draws(seed=self.seed, stream=f"distill/{stream}", index=index, device=self.world.device)
        pairs = self.pairs.drawn(draws, count=self.world.batch_size)
        return pairs, self.captions.rows(pairs.rows), draws

    def _drawn(self, stream: str, *, index: int) -> tuple[Tensor, Text, Draws]:
        draws = Draws(seed=self.seed, stream=f"distill/{stream}", index=index, device=self.world.device)
        count = self.world.batch_size
        text = self.captions.rows(draws.index(count, below=len(self.captions.lengths)))
        return draws.normal((count, *self.world.latents_shape)), text, draws


class Watch:
    """Draws one set of captions again and again, and measures the pictures."""

    def __init__(self, world: World, *, num_pictures: int, guidance_scale: float) -> None:
        self.world, self.shown = world, world.shown(WATCHED_SEED, count=num_pictures)
        self.yardstick = Yardstick(world.kept(self.shown), encode=world.encode, decode=world.decode)
        many = few_step_sigmas(STEPS["base"], shift=world.shift)
        latents = world.sample(world.base, self.shown, sigmas=many, guidance_scale=guidance_scale)
        self.many = self.yardstick.measure(latents)

    def figures(self, distillation: Distillation, network: Any) -> dict[str, float]:
        """Gives distances and sharpness of what a network draws on the student's grid."""
        latents = self.world.sample(network, self.shown, sigmas=distillation.sigmas)
        return compared(self.yardstick.measure(latents), true=self.yardstick.true, many=self.many)


def distill(
    world: World,
    out: Path,
    *,
    minutes: float,
    warm_minutes: float,
    watch_every_s: float,
    guidance_scale: float,
    recipe: Recipe,
    resume: bool,
    num_captions: int,
    num_pairs: int,
    num_watched: int,
    seed: int = 0,
) -> None:
    """Begins on pairs, then distils for `minutes`; leaves the best average in `distill_best.pt` and a log."""
    training = Training(
        world,
        out,
        recipe=recipe,
        resume=resume,
        num_captions=num_captions,
        num_pairs=num_pairs,
        seed=seed,
    )
    watch = Watch(world, num_pictures=num_watched, guidance_scale=guidance_scale)
    distillation = training.distillation
    with (out / "distill_log.jsonl").open("a", encoding="utf-8", buffering=1) as log:
        _report(log, {"step": distillation.step, "base": watch.figures(distillation, world.base)})
        training.rehearse()
        if distillation.step == 0:
            _begin(training, log=log, minutes=warm_minutes)
            begun = watch.figures(distillation, distillation.average)
            _report(log, {"begun": distillation.begun, "s": round(training.warm_s), "watched": begun})
            training.acquaint()
        _run(training, watch, log=log, minutes=minutes, watch_every_s=watch_every_s)


def export(base: Path, out: Path, *, folder: Path) -> int:
    """Writes the best student as a diffusers folder with the base's other parts; returns its size in bytes."""
    from diffusers import ZImagePipeline

    pipeline = ZImagePipeline.from_pretrained(base)
    best = torch.load(out / "distill_best.pt", map_location="cpu", weights_only=True)
    pipeline.transformer.load_state_dict(best)
    pipeline.transformer.bfloat16()
    pipeline.text_encoder.bfloat16()
    pipeline.vae.half()
    pipeline.register_modules(scheduler=scheduler("distilled"))
    return replace_folder(pipeline, folder)


def _begin(training: Training, *, log: Any, minutes: float) -> None:
    """Steps on pairs until these minutes are spent."""
    distillation, budget = training.distillation, Budget(minutes, spent_s=training.warm_s)
    tally = Tally(log, name="begun")
    while not budget.over:
        figures = training.begin(budget.factor(distillation.begun, warmup_steps=WARMUP_STEPS))
        tally.add(figures, step=distillation.begun, spent_s=budget.spent_s)
        training.warm_s = budget.spent_s
    training.save()


def _run(training: Training, watch: Watch, *, log: Any, minutes: float, watch_every_s: float) -> None:
    """Updates until the minutes are spent; looks and saves at times."""
    distillation, budget = training.distillation, Budget(minutes, spent_s=training.spent_s)
    tally = Tally(log, name="step")
    looked = saved = time.monotonic()
    while not budget.over:
        figures = training.update(budget.factor(distillation.step, warmup_steps=WARMUP_STEPS))
        tally.add(figures, step=distillation.step, spent_s=budget.spent_s)
        training.spent_s = budget.spent_s
        if time.monotonic() - looked > watch_every_s or budget.over:
            seen = watch.figures(distillation, distillation.average)
            training.keep_if_best(seen["to_true"])
            _report(log, {"step": distillation.step, "s": round(budget.spent_s), "watched": seen})
            looked = time.monotonic()
        if time.monotonic() - saved > SAVE_EVERY_S:
            training.save()
            saved = time.monotonic()
    training.save()


class Tally:
    """Averages the figures of some steps and writes them into the log."""

    def __init__(self, log: Any, *, name: str) -> None:
        """Takes what a step is called in the log."""
        self._log, self._name = log, name
        self._figures: list[dict[str, Tensor]] = []

    def add(self, figures: dict[str, Tensor], *, step: int, spent_s: float) -> None:
        """Takes the figures of a step; every LOG_EVERY steps the host waits for the device."""
        self._figures.append(figures)
        if step % LOG_EVERY == 0:
            _report(self._log, {self._name: step, "s": round(spent_s), **_means(self._figures)})
            self._figures.clear()


def _means(figures: list[dict[str, Tensor]]) -> dict[str, float]:
    """Averages figures; this is where the host waits for the device."""
    means = {key: torch.stack([row[key] for row in figures]).mean().item() for key in figures[0]}
    if not all(value == value and abs(value) != float("inf") for value in means.values()):
        raise FloatingPointError(f"the figures are not finite: {means}; lower --student-lr or --fake-lr.")
    return {key: round(value, 5) for key, value in means.items()}


def _report(log: Any, row: dict[str, Any]) -> None:
    """Writes a line into the log; what was watched is also told."""
    rounded = json.loads(json.dumps(row), parse_float=lambda text: round(float(text), 5))
    log.write(json.dumps(rounded) + "\n")
    if "watched" in row or "base" in row:
        print(json.dumps(rounded), flush=True)
