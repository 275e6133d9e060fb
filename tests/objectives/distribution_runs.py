"""Runs of distribution matching on a tiny Z-Image whose weights are random: an assistant's file, and configurations."""

from __future__ import annotations

import copy
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from omegaconf import DictConfig
from tests.training.runs import tiny_config

from loralab.adapter import AdapterMetadata, LoraSpec, export_adapter, inject
from loralab.adapter.layers import adapter_layers
from loralab.adapter.lora import add_lora, named_tensors
from loralab.adapter.roles import ASSISTANT, FAKE, STUDENT, TEACHER
from loralab.data.batch import Batch
from loralab.denoiser import Sampling
from loralab.families.z_image import ZImage
from loralab.flow import seeded_noise
from loralab.memory import Placement
from loralab.objectives.distribution.bank import bank_of
from loralab.objectives.distribution.banks import Banks, Grid
from loralab.objectives.distribution.cast import companies
from loralab.objectives.distribution.settings import Fake, Matching, Weights
from loralab.objectives.distribution.stage_two import StageTwo

TURBO = (
    "model=zimage_turbo",
    "model.sampling={height: 64, width: 64, num_steps: 2, guidance_scale: 0.0}",
    "dataset.trigger=sks",
    "adapter.rank=4",
    "adapter.alpha=4",
    "safety=off",
    "watch.every=0",
    "steps=6",
    "batch_size=2",
    "micro_batch_size=1",
    "run.validate_every=2",
    "dataset.validation_fraction=0.2",
    "objective.prior.bank_size=5",
    "objective.coupled.bank_size=5",
    "objective.coupled.teacher_steps=2",
    "objective.fake.updates=2",
    "objective.fake.warmup_steps=0",
)
STAGE_TWO = ("objective.preset=dm_aware", "objective.stage2.steps=3")


def turbo(folder: Path, *, placement: Placement | None = None) -> ZImage:
    """Gives the tiny pipeline as a distilled Z-Image that takes four steps."""
    denoiser = ZImage(
        name="zimage_turbo",
        checkpoint=str(folder),
        sampling=Sampling(num_steps=4, guidance_scale=0.0, height=64, width=64),
        variant="distilled",
        max_prompt_length=16,
    )
    denoiser.place(placement or Placement(torch.device("cpu"), torch.float32))
    return denoiser


def save_assistant(folder: Path, path: Path, *, base_digest: str | None = None) -> Path:
    """Saves an adapter with random tensors that says it belongs to the pipeline in `folder`, or to another."""
    denoiser = turbo(folder)
    identity = denoiser.identity()
    spec = LoraSpec(rank=3, alpha=3, targets="attention_mlp")
    inject(denoiser.transformer, spec, pattern=denoiser.target_pattern(spec.targets))
    source = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor in named_tensors(denoiser.transformer).values():
            tensor.copy_(0.3 * torch.randn(tensor.shape, generator=source))
    metadata = AdapterMetadata(
        family=identity.family, model=identity.model, checkpoint=identity.checkpoint,
        base_digest=base_digest or identity.base_digest, objective="assistant", rank=3, alpha=3.0,
        targets=spec.targets, step=1, config_digest="",
    )  # fmt: skip
    return export_adapter(denoiser.transformer, path, prefix=denoiser.export_prefix, metadata=metadata)


def turbo_config(
    checkpoint: Path, pictures: Path, *overrides: str, cache: Path, assistant: Path | None
) -> DictConfig:
    """Composes a short run of distribution matching."""
    named = () if assistant is None else (f"objective.assistant='{assistant}'",)
    return copy.deepcopy(tiny_config(checkpoint, pictures, *TURBO, *named, *overrides, cache=cache))


SHAPE = (16, 8, 8)


def batch(*, index: int = 0, count: int = 2) -> Batch:
    """Gives captions of different lengths; the pictures are of noise."""
    source = torch.Generator().manual_seed(5 + index)
    return Batch(
        latents=torch.randn((count, *SHAPE), generator=source),
        prompt_embeds=[torch.randn((5 + number, 16), generator=source) for number in range(count)],
        weight=torch.ones(count), mask=None, index=index, captions=("",) * count, keys=("",) * count,
    )  # fmt: skip


def stage_two(
    folder: Path,
    root: Path,
    *,
    weights: Weights,
    placement: Placement | None = None,
    accumulate: int = 1,
    guidance: float = 0.0,
) -> StageTwo:
    """Gives the second stage over the pipeline in `folder` with random adapters and random banks below `root`."""
    denoiser = turbo(folder, placement=placement)
    transformer = denoiser.transformer
    spec = LoraSpec(rank=4, alpha=4, targets="attention_mlp")
    inject(transformer, spec, pattern=denoiser.target_pattern(spec.targets))
    for name in (ASSISTANT, TEACHER, FAKE):
        add_lora(transformer, spec, ranks=dict.fromkeys(adapter_layers(transformer), 4), name=name)
    for name in (STUDENT, ASSISTANT, TEACHER, FAKE):
        for number, tensor in enumerate(named_tensors(transformer, name=name).values()):
            drawn = seeded_noise(tensor.shape, seed=0, stream=name, index=number)
            tensor.data = 0.2 * drawn.to(tensor.device)
    cast = companies(denoiser, denoiser, under=(ASSISTANT,))
    cast.open_stage(2)
    banks = Banks(lambda prompt: batch().prompt_embeds[0], (("", SHAPE),), Grid(denoiser, 4), 1, ())
    pairs = bank_of(banks.shown, size=2, root=root, fingerprint=("pairs",))
    pairs.fill(lambda entries: noise_of("pairs", len(entries), *SHAPE), at_once=2, label="")
    prior = bank_of(banks.shown, size=2, root=root, fingerprint=("prior",))
    prior.fill(lambda entries: noise_of("prior", len(entries), 5, *SHAPE), at_once=2, label="")
    return StageTwo(
        cast=cast, banks=banks, pairs=pairs if weights.coupled else None, prior=prior if weights.anchor else None,
        weights=weights, dm=Matching(), guidance=guidance, fake=Fake(updates=2), empty=torch.zeros(3, 16), seed=0,
        accumulate=accumulate,
    )  # fmt: skip


def noise_of(stream: str, *shape: int) -> torch.Tensor:
    """Gives random numbers that only their names determine."""
    return seeded_noise(shape, seed=0, stream=stream, index=0)


class _Stop(lightning.Callback):
    """Sends SIGTERM to this process while a step is computed."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self._step - 1:
            self._step = 0  # a second signal would end the process at once
            signal.raise_signal(signal.SIGTERM)


def stopping_trainer(
    *, stop_after: int, callbacks: Sequence[lightning.Callback], **arguments: Any
) -> lightning.Trainer:
    """Gives a trainer that is interrupted in the step `stop_after`; 0 never is."""
    return lightning.Trainer(callbacks=[*callbacks, _Stop(stop_after)], **arguments)
