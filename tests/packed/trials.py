"""Trials of a tiny Klein without a run around them: alone, and beside each other in threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor
from torch.utils.data import default_collate

from loralab.adapter import LoraSpec, adapter_state, inject
from loralab.config import CONF
from loralab.data.batch import Batch
from loralab.denoiser import Sampling
from loralab.families.flux2_klein import Flux2Klein
from loralab.flow import LogitNormal
from loralab.flow.weighting import ConstantWeighting
from loralab.memory import Placement
from loralab.objectives import FlowMatching
from loralab.optim import Schedule
from loralab.packed import Meeting, PackedBase, Seat

RATES = {"lion8bit": 2e-3, "prodigy": 1.0}
OPTIMIZERS = sorted(path.stem for path in (CONF / "optimizer").glob("*.yaml"))
assert OPTIMIZERS
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Trial:
    """What a trial is, and how it goes wrong: `poison` is a step at which its latents become NaN.

    `prompt_width` is that of the model's prompt embeddings.
    """

    spec: LoraSpec
    optimizer: str = "adamw"
    seed: int = 0
    num_steps: int = 4
    poison: int | None = None
    prompt_width: int = 48


@dataclass
class Outcome:
    """What a trial left: the losses of its steps and its adapter."""

    losses: list[float] = field(default_factory=list)
    state: dict[str, Tensor] = field(default_factory=dict)


TRIALS = (
    Trial(LoraSpec(rank=4, alpha=4, targets="attention", dropout=0.1), seed=0),
    Trial(LoraSpec(rank=8, alpha=3, targets="attention_mlp"), seed=1),
    Trial(LoraSpec(rank=2, alpha=2, targets="all", init="gaussian"), seed=2),
    Trial(LoraSpec(rank=6, alpha=6, targets="attention", use_rslora=True, init="orthogonal"), seed=3),
)
"""Trials that differ in everything that an adapter may have."""


def klein(folder: Path, placement: Placement | None = None) -> Flux2Klein:
    """Gives the tiny Klein of a folder."""
    made = Flux2Klein(
        name="tiny",
        checkpoint=str(folder),
        sampling=Sampling(num_steps=2, guidance_scale=1.0, height=64, width=64),
        max_prompt_length=16,
    )
    made.place(placement or Placement(CPU, torch.float32))
    return made


def alone(
    folder: Path,
    trial: Trial,
    placement: Placement | None = None,
    *,
    through: Callable[[Flux2Klein], Any] = lambda denoiser: denoiser,
) -> Outcome:
    """Trains a trial on a base of its own, which it asks through what `through` makes of it."""
    denoiser = klein(folder, placement)
    torch.manual_seed(trial.seed)
    inject(denoiser.transformer, trial.spec, pattern=denoiser.target_pattern(trial.spec.targets))
    outcome = Outcome()
    _train(through(denoiser), trial, outcome, differentiate=lambda: None)
    outcome.state = adapter_state(denoiser.transformer)
    return outcome


def base_of(
    denoiser: Flux2Klein,
    trials: Sequence[Trial],
    *,
    width: int,
    static: bool = False,
    dtype: torch.dtype = torch.float32,
) -> PackedBase:
    """Gives a base with slots for these trials."""
    return PackedBase(
        denoiser,
        width=width,
        rank=max(trial.spec.rank for trial in trials),
        targets=sorted({trial.spec.targets for trial in trials}),
        dtype=dtype,
        static=static,
    )


def together(base: PackedBase, trials: Sequence[Trial]) -> tuple[list[Outcome], Meeting]:
    """Trains as many trials at a time as the base is wide; the next one takes the slot of the first that ends."""
    meeting, outcomes = Meeting(base), [Outcome() for _ in trials]
    waiting, lock = list(range(len(trials))), threading.Lock()

    def work(slot: int) -> None:
        while True:
            with lock:
                if not waiting:
                    return
                index = waiting.pop(0)
            trial, seat = trials[index], Seat(base, meeting, slot=slot)
            try:
                pattern = base.denoiser.target_pattern(trial.spec.targets)
                seat.inject(trial.spec, pattern=pattern, seed=trial.seed)
                _train(seat.denoiser, trial, outcomes[index], differentiate=seat.differentiate)
                outcomes[index].state = adapter_state(seat.shadow)
            finally:
                seat.leave()
                base.vacate(slot)

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(base.width)]

    def end() -> None:
        for thread in threads:
            thread.join()
        meeting.close()

    for thread in (*threads, threading.Thread(target=end)):
        thread.start()
    meeting.serve()
    return outcomes, meeting


def distance(one: Outcome, other: Outcome) -> float:
    """Gives the relative distance of two adapters."""
    assert one.state.keys() == other.state.keys()
    pairs = [(one.state[key].double(), other.state[key].double()) for key in one.state]
    off = sum(float((a - b).square().sum()) for a, b in pairs)
    return float((off / sum(float(a.square().sum()) for a, _ in pairs)) ** 0.5)


def batch(index: int, *, latents_shape: Sequence[int], prompt_width: int, count: int = 2) -> Batch:
    """Gives the batch of a micro-step."""
    source = torch.Generator().manual_seed(index)
    embeds = [torch.randn((16, prompt_width), generator=source) for _ in range(count)]
    return Batch(
        latents=torch.randn((count, *latents_shape), generator=source),
        prompt_embeds=default_collate(embeds),
        weight=torch.ones(count),
        mask=None,
        index=index,
        captions=("",) * count,
        keys=tuple(map(str, range(count))),
    )


def _train(denoiser: Any, trial: Trial, outcome: Outcome, *, differentiate: Callable[[], None]) -> None:
    module = FlowMatching(
        denoiser,
        sigmas=LogitNormal(),
        weighting=ConstantWeighting(),
        optimizer=_optimizer(trial.optimizer),
        schedule=partial(Schedule(decay="cosine"), num_steps=trial.num_steps),
        seed=trial.seed,
    )
    settings = module.configure_optimizers()
    optimizer, schedule = settings["optimizer"], settings["lr_scheduler"]["scheduler"]
    parameters = [parameter for parameter in module.transformer.parameters() if parameter.requires_grad]
    latents_shape = denoiser.latents_shape(height=64, width=64)
    for step in range(trial.num_steps):
        given = batch(step, latents_shape=latents_shape, prompt_width=trial.prompt_width).to(denoiser.device)
        if step == trial.poison:
            given.latents.fill_(float("nan"))
        loss = module.training_step(given, 0)["loss"]
        outcome.losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        differentiate()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
    for parameter in parameters:
        parameter.grad = None


def _optimizer(name: str) -> Any:
    config = OmegaConf.load(CONF / "optimizer" / f"{name}.yaml")
    config.lr = RATES.get(name, 3e-3)
    return instantiate(config)
