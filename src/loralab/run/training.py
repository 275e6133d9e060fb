"""The training of a run: from encoded pictures to an adapter file, with everything that watches it."""

from __future__ import annotations

import errno
import json
import logging
import signal
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from loralab import names
from loralab.adapter import AdapterMetadata, Ema, annotated, inject
from loralab.adapter.reading import read_shapes
from loralab.config import Experiment, digest, model_arguments
from loralab.data import EncodedDataset
from loralab.data.video import EncodedClips
from loralab.denoiser import Denoiser
from loralab.errors import UserError
from loralab.files import atomic_write
from loralab.loggers import log_picture
from loralab.memory import Placement
from loralab.objectives import Objective, Surroundings
from loralab.packed import Differentiation
from loralab.report import write_run_page
from loralab.run.clips import adapted_layers
from loralab.run.failures import NO_SPACE, no_space, out_of_memory, requeue
from loralab.run.guarding import reason_of, sentinel_of
from loralab.run.place import Place
from loralab.study import Worker
from loralab.training.density import draw_density
from loralab.training.folder import RunFolder
from loralab.training.interrupt import Interrupt
from loralab.training.meter import Meter
from loralab.training.progress import Progress
from loralab.training.pruning import Pruning
from loralab.training.randomness import Randomness
from loralab.training.snapshots import Snapshots
from loralab.training.step_log import StepLog, TrainingDivergedError
from loralab.training.trainer import build_trainer, fit
from loralab.training.validation import Validation
from loralab.training.watch import FewStepWatch, WatchedTexts

log = logging.getLogger("loralab")
WATCH = "watch"
"""The part of training whose memory is measured apart: the planner predicts steps."""


@dataclass(frozen=True)
class Encoded:
    """What was encoded: the data set, what the objective wants besides, and what watch and sentinel look at."""

    dataset: EncodedDataset | EncodedClips
    prompts: tuple[str, ...]
    watched: WatchedTexts

    @property
    def reference_factors(self) -> tuple[int, int] | None:
        """How many times smaller and slower references are; None where there are none."""
        return self.dataset.reference_factors if isinstance(self.dataset, EncodedClips) else None

    prior: tuple[str, ...] = ()


def trained(
    config: DictConfig,
    experiment: Experiment,
    *,
    loggers: list[Any],
    encoded: Encoded,
    folder: RunFolder,
    worker: Worker | None,
    placement: Placement,
    meter: Meter,
    place: Place | None = None,
) -> dict[str, Any]:
    """Trains the adapter and leaves its file; gives the training's part of the result.

    With a `place` it trains beside other trials on one base.
    """
    denoiser, dataset = experiment.denoiser, encoded.dataset
    if config.run.resume:
        _require_same_base(experiment, folder)
    pattern = adapted_layers(experiment)
    if place is None:
        names = inject(denoiser.transformer, experiment.adapter, pattern=pattern)
    else:
        names = place.seat.inject(experiment.adapter, pattern=pattern, seed=config.seed)
    module = _objective(config, experiment, encoded=encoded, folder=folder, placement=placement)
    _show_density(module, dataset, loggers=loggers, folder=folder)
    ema = Ema(config.ema_decay) if config.ema_decay else None
    snapshots, validation = (
        _snapshots(config, experiment, encoded, folder, ema=ema, place=place),
        _validation(config, encoded),
    )
    pruning = Pruning(validation, report=worker.report if worker else None)
    watch = _watch(config, experiment, module, encoded=encoded, folder=folder, ema=ema, meter=meter)
    looking = partial(meter.apart, WATCH)
    sentinels = sentinel_of(
        experiment, module, data=encoded.dataset, prior=encoded.prior, folder=folder, validation=validation,
        snapshots=snapshots, looking=looking,
    ) if place is None else []  # fmt: skip
    interrupt = Interrupt() if place is None else place.interrupt
    accumulate = config.batch_size // config.micro_batch_size
    by_itself = module.automatic_optimization  # else it accumulates and clips, and Lightning may not
    trainer = build_trainer(
        experiment.trainer if by_itself else partial(experiment.trainer, gradient_clip_val=None),
        num_steps=config.steps,
        accumulate=accumulate if by_itself else 1,
        loggers=loggers,
        callbacks=[
            *([] if place is None else [Differentiation(place.seat)]),
            Randomness(None if place is None else place.seat.generator),
            StepLog(every=config.run.log_every),
            validation,
            pruning,
            *watch,
            *sentinels,
            interrupt,
            snapshots,
            *([Progress()] if place is None else []),
        ],
    )
    planned = {
        "micro_batch_size": config.micro_batch_size,
        "num_micro_steps": config.steps * accumulate,
        "seed": config.seed,
    }
    if place is None:
        loader = dataset.loader(**planned, pinned=denoiser.device.type == "cuda")
    else:
        loader = place.batches.loader(**planned)
    try:
        fit(trainer, module, loader=loader, resume_from=folder.resume_point() if config.run.resume else None)
    except TrainingDivergedError as error:
        raise _diverged(config, folder, error) from error
    except torch.OutOfMemoryError as error:
        raise out_of_memory(
            config, denoiser, policy=experiment.memory, placement=placement, folder=folder, error=error,
            step=trainer.global_step,
        ) from error  # fmt: skip
    except OSError as error:
        if error.errno in NO_SPACE or isinstance(error, PermissionError) or error.errno == errno.EROFS:
            raise no_space(folder, error) from error
        raise
    stopped = sentinels[0].stopped if sentinels else None
    if interrupt.received and trainer.global_step < config.steps and stopped is None:
        _leave(folder, interrupt.received, step=trainer.global_step)
    step = trainer.global_step if snapshots.rolled_back_to is None else snapshots.rolled_back_to
    adapter = folder.snapshot(step).read_bytes()
    if stopped is not None:
        adapter = annotated(adapter, {"sentinel": reason_of(sentinels[0], step=step)})
    atomic_write(folder.adapter, adapter)
    return {
        "status": "pruned" if pruning.step is not None else "finished" if stopped is None else "stopped",
        **({} if stopped is None else {"reason": reason_of(sentinels[0], step=step)}),
        "steps": step,
        "adapted_modules": len(names),
        "validation": validation.history,
        "validation_bands": validation.bands,
        **({"watch": watch[0].summary()} if watch else {}),
        **({"sentinel": sentinels[0].summary()} if sentinels else {}),
    }


def _require_same_base(experiment: Experiment, folder: RunFolder) -> None:
    """Refuses to go on with an adapter whose base has become another since."""
    for snapshot in folder.snapshots()[-1:]:
        header, shapes = read_shapes(snapshot)
        experiment.denoiser.foreign_names.guard(str(snapshot), header, shapes)


def _objective(
    config: DictConfig,
    experiment: Experiment,
    *,
    encoded: Encoded,
    folder: RunFolder,
    placement: Placement,
) -> Objective[Any]:
    schedule = partial(experiment.schedule, num_steps=config.steps)
    module = experiment.objective(
        experiment.denoiser, optimizer=experiment.optimizer, schedule=schedule, seed=config.seed
    )
    assert isinstance(module, Objective)
    surroundings = Surroundings(
        encoded=encoded.dataset,
        folder=folder.root,
        cache_root=Path(config.cache_root),
        num_steps=config.steps,
        micro_batch_size=config.micro_batch_size,
        accumulate=config.batch_size // config.micro_batch_size,
        clip=config.trainer.get("gradient_clip_val"),
        adapter=experiment.adapter,
        held=f"{placement.kind or placement.dtype}, {'low_bit' if placement.low_bit else 'exact'}",
        base=_second_backbone(config, placement),
        prompts=encoded.prompts,
    )
    module.prepare(surroundings)
    return module


def _second_backbone(config: DictConfig, placement: Placement) -> Denoiser | None:
    """Gives the checkpoint that the model was distilled from, where the objective stands on it."""
    from hydra.utils import instantiate

    checkpoint = OmegaConf.select(config, "objective.base.checkpoint")
    if checkpoint is None:
        return None
    other = {"checkpoint": checkpoint, "revision": config.objective.base.revision, "variant": "base"}
    base = instantiate(OmegaConf.merge(model_arguments(config), other))
    assert isinstance(base, Denoiser)
    base.place(placement)
    if config.memory.precision == "auto" and placement.device.type == "cuda":
        log.warning(
            "memory=auto has planned for one backbone, and objective.base.checkpoint=%s is a second one; "
            "if memory runs out, choose memory=int8 or fp8",
            checkpoint,
        )
    return base


def _snapshots(
    config: DictConfig,
    experiment: Experiment,
    encoded: Encoded,
    folder: RunFolder,
    *,
    ema: Ema | None,
    place: Place | None,
) -> Snapshots:
    denoiser = experiment.denoiser
    aside = {} if place is None else {"before": place.seat.step_aside}
    return Snapshots(
        folder,
        every=config.run.save_every,
        keep=config.run.keep_snapshots,
        prefix=denoiser.export_prefix,
        rename=denoiser.exported_name,
        header=denoiser.export_header(reference=encoded.reference_factors),
        metadata=partial(_metadata, config, experiment),
        ema=ema,
        **aside,
    )


def _validation(config: DictConfig, encoded: Encoded) -> Validation:
    return Validation(
        encoded.dataset.validation_batches(config.micro_batch_size),
        levels=config.run.validation_sigmas,
        every=config.run.validate_every,
        is_detector=config.model.variant == "distilled",
    )


def _watch(
    config: DictConfig,
    experiment: Experiment,
    module: Objective[Any],
    *,
    encoded: Encoded,
    folder: RunFolder,
    ema: Ema | None,
    meter: Meter,
) -> list[FewStepWatch]:
    """Gives what looks at the few steps of a distilled checkpoint; nothing for others."""
    denoiser, dataset = experiment.denoiser, encoded.dataset
    if not encoded.watched.texts:
        return []
    assert isinstance(denoiser, Denoiser)
    assert isinstance(dataset, EncodedDataset)
    watch = FewStepWatch(
        denoiser,
        settings=experiment.watch,
        prompts=encoded.watched.embedded(dataset.prompt_embeds),
        batches=dataset.validation_batches(config.micro_batch_size),
        folder=folder.root,
        teacher=module.teacher_name,
        reference=module.reference_names,
        readings=module.readings,
        ema=ema,
        judged_from=module.judged_from,
        measured=partial(meter.apart, WATCH),
    )
    return [watch]


def _metadata(config: DictConfig, experiment: Experiment, step: int) -> AdapterMetadata:
    identity = experiment.denoiser.identity()
    return AdapterMetadata(
        family=identity.family,
        model=identity.model,
        variant=identity.variant,
        checkpoint=identity.checkpoint,
        revision=identity.revision,
        base_digest=identity.base_digest,
        objective=str(config.objective._target_).rsplit(".", 1)[-1],
        rank=experiment.adapter.rank,
        alpha=experiment.adapter.alpha,
        targets=experiment.adapter.targets,
        trigger=experiment.dataset.trigger,
        preset=OmegaConf.select(config, "objective.preset") or OmegaConf.select(config, "objective.mode"),
        step=step,
        config_digest=digest(config),
    )


def _show_density(
    module: Objective[Any], encoded: EncodedDataset | EncodedClips, *, loggers: list[Any], folder: RunFolder
) -> None:
    counts = {module.denoiser.num_tokens(shape) for shape in encoded.latents_shapes()}
    path = draw_density(module.sigmas, folder.root / "sigma_density.png", token_counts=counts)
    log_picture(loggers, name=names.DENSITY, path=path, step=0)


def _diverged(config: DictConfig, folder: RunFolder, error: TrainingDivergedError) -> UserError:
    kept = folder.snapshots()
    good = f"the last good snapshot is {kept[-1]}" if kept else "no snapshot had been written yet"
    atomic_write(folder.result, json.dumps({"status": "diverged", "reason": str(error)}, indent=2))
    write_run_page(folder.root)
    return UserError(
        f"{error}; {good}. Lower optimizer.lr={config.optimizer.get('lr')}, or add schedule.warmup_steps."
    )


def _leave(folder: RunFolder, signal_name: str, *, step: int) -> None:
    atomic_write(folder.result, json.dumps({"status": "interrupted", "steps": step}, indent=2))
    log.warning(
        "stopped by %s after step %d; continue with: python train.py run.resume='%s'",
        signal_name,
        step,
        folder.root,
    )
    requeue(signal_name)
    sys.exit(128 + signal.Signals[signal_name].value)
