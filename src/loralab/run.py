"""One run, as the README tells it: read and encode pictures, train an adapter, draw with its file, write it down."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning
from omegaconf import DictConfig, OmegaConf

from loralab.adapter import AdapterMetadata, Ema, inject
from loralab.config import Experiment, build, built_study, digest
from loralab.data import EmojiSource, EncodedDataset, encode
from loralab.errors import UserError
from loralab.evaluation.style import emoji_concept
from loralab.files import atomic_write
from loralab.loggers import close_loggers, log_picture
from loralab.memory import pick_device
from loralab.objectives import FlowMatching
from loralab.planning import decided
from loralab.quiet import quiet_libraries
from loralab.report import record_environment, write_run_page
from loralab.study import Worker, attach
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

log = logging.getLogger("loralab")


def run(config: DictConfig, *, root: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Runs one experiment from pictures to report; returns what `result.json` holds.

    With `trial.number` it is a trial of the study in `study`, which is told what came of it.

    Args:
        config: composed from `conf/train.yaml`.
        root: the run's folder; with `run.resume` the folder of the run that goes on.
        overrides: what was typed.

    Raises:
        UserError: for anything the user can mend.
        SystemExit: with 128 + signal when the run was interrupted; its checkpoint is saved.
    """
    quiet_libraries()
    worker = _worker(config)
    with worker.at_work(root) if worker else contextlib.nullcontext():
        return _ran(config, root=root, overrides=overrides, worker=worker)


def _worker(config: DictConfig) -> Worker | None:
    """Gives the run's side of its trial, in the first process of a trial's run."""
    is_first = os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("RANK", "0") == "0"
    if config.trial.number is None or not is_first:
        return None
    return attach(config.trial.number, built_study(config), num_steps=config.steps)


def _ran(
    config: DictConfig, *, root: Path, overrides: Sequence[str], worker: Worker | None
) -> dict[str, Any]:
    experiment = build(config)
    folder = _opened(config, root=root, overrides=overrides)
    lightning.seed_everything(config.seed, verbose=False)
    device = pick_device(config.trainer.accelerator)
    decision = decided(config, experiment.memory, experiment.denoiser, device=device)
    experiment.denoiser.place(decision.placement)
    meter = Meter(device)
    loggers = experiment.loggers(folder=folder.root, config=_described(config, worker))
    status = "failed"
    try:
        with meter.stage("encode"):
            encoded = _encoded(experiment)
        with meter.stage("train"):
            training = _trained(
                config, experiment, loggers=loggers, encoded=encoded, folder=folder, worker=worker
            )
        with meter.stage("evaluate"):
            is_whole = training["status"] == "finished"
            scores = _evaluated(experiment, encoded=encoded, folder=folder) if is_whole else {}
        memory = decision.summary(measured_gib=meter.stages["train"]["peak_memory_gib"])
        if memory["compile"]:
            num_shapes = len(encoded.latents_shapes())
            log.info(
                "memory: %d graphs compiled, for latents of %d shapes", memory["compiled_graphs"], num_shapes
            )
        result = {
            **training, **scores, "memory": memory, "dataset": encoded.summary(), "stages": meter.stages
        }  # fmt: skip
        _finished(config, folder, loggers=loggers, result=result)
        status = "success"
    finally:
        for command in close_loggers(loggers, status=status):
            log.info("%s", command)
    return result


def _described(config: DictConfig, worker: Worker | None) -> Any:
    """Gives what loggers are told about a run: its configuration, and of a trial what the search set."""
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return plain if worker is None else {**plain, "searched": worker.parameters}


def _opened(config: DictConfig, *, root: Path, overrides: Sequence[str]) -> RunFolder:
    """Makes the run's folder, or finds the one to resume, and writes down what was asked for."""
    folder = RunFolder(root)
    typed = [override for override in overrides if not override.startswith("run.resume=")]
    atomic_write(folder.overrides, OmegaConf.to_yaml(OmegaConf.create(typed)))
    atomic_write(folder.config, OmegaConf.to_yaml(config, resolve=True))
    record_environment(folder.root)
    log.info("run folder: %s", folder.root)
    if config.model.training_base == "discouraged":
        log.warning(
            "model=%s is distilled: plain flow matching slowly undoes its few-step quality; watch the previews",
            config.model.name,
        )
    return folder


def _encoded(experiment: Experiment) -> EncodedDataset:
    collection = experiment.dataset.collect(experiment.denoiser.size_multiple)
    for note in collection.notes:
        log.info("%s", note)
    return encode(collection, experiment.denoiser)


def _trained(
    config: DictConfig,
    experiment: Experiment,
    *,
    loggers: list[Any],
    encoded: EncodedDataset,
    folder: RunFolder,
    worker: Worker | None,
) -> dict[str, Any]:
    """Trains the adapter and leaves its file; gives the training's part of the result."""
    denoiser = experiment.denoiser
    pattern = denoiser.target_pattern(experiment.adapter.targets)
    names = inject(denoiser.transformer, experiment.adapter, pattern=pattern)
    module = _objective(config, experiment)
    _show_density(module, encoded, loggers=loggers, folder=folder)
    snapshots, validation = _snapshots(config, experiment, folder), _validation(config, encoded)
    pruning = Pruning(validation, report=worker.report if worker else None)
    accumulate, interrupt = config.batch_size // config.micro_batch_size, Interrupt()
    trainer = build_trainer(
        experiment.trainer,
        num_steps=config.steps,
        accumulate=accumulate,
        loggers=loggers,
        callbacks=[
            Randomness(),
            StepLog(every=config.run.log_every),
            validation,
            pruning,
            interrupt,
            snapshots,
            Progress(),
        ],
    )
    loader = encoded.loader(
        micro_batch_size=config.micro_batch_size,
        num_micro_steps=config.steps * accumulate,
        seed=config.seed,
        pinned=denoiser.device.type == "cuda",
    )
    try:
        fit(trainer, module, loader=loader, resume_from=folder.resume_point() if config.run.resume else None)
    except TrainingDivergedError as error:
        raise _diverged(config, folder, error) from error
    if interrupt.received and trainer.global_step < config.steps:
        _leave(folder, interrupt.received, step=trainer.global_step)
    atomic_write(folder.adapter, folder.snapshot(trainer.global_step).read_bytes())
    return {
        "status": "finished" if pruning.step is None else "pruned",
        "steps": trainer.global_step,
        "adapted_modules": len(names),
        "validation": validation.history,
        "validation_bands": validation.bands,
    }


def _evaluated(experiment: Experiment, *, encoded: EncodedDataset, folder: RunFolder) -> dict[str, Any]:
    """Draws and scores the adapter file, on what training did not see where there is such."""
    dataset, collection = experiment.dataset, encoded.collection
    known = emoji_concept(dataset.root.partition("/")[0]) if isinstance(dataset.source, EmojiSource) else None
    captions = [record.prompts[0] for record in collection.validation or collection.train]
    scores: dict[str, Any] = experiment.evaluation.run(
        experiment.denoiser, adapter=folder.adapter, folder=folder.root, captions=captions, concept=known
    )
    return scores


def _snapshots(config: DictConfig, experiment: Experiment, folder: RunFolder) -> Snapshots:
    return Snapshots(
        folder,
        every=config.run.save_every,
        keep=config.run.keep_snapshots,
        prefix=experiment.denoiser.export_prefix,
        metadata=partial(_metadata, config, experiment),
        ema=Ema(config.ema_decay) if config.ema_decay else None,
    )


def _validation(config: DictConfig, encoded: EncodedDataset) -> Validation:
    batches = encoded.validation_batches(config.micro_batch_size)
    return Validation(batches, levels=config.run.validation_sigmas, every=config.run.validate_every)


def _objective(config: DictConfig, experiment: Experiment) -> FlowMatching:
    schedule = partial(experiment.schedule, num_steps=config.steps)
    module = experiment.objective(
        experiment.denoiser, optimizer=experiment.optimizer, schedule=schedule, seed=config.seed
    )
    assert isinstance(module, FlowMatching)
    return module


def _metadata(config: DictConfig, experiment: Experiment, step: int) -> AdapterMetadata:
    identity = experiment.denoiser.identity()
    return AdapterMetadata(
        family=identity.family,
        model=identity.model,
        checkpoint=identity.checkpoint,
        revision=identity.revision,
        base_digest=identity.base_digest,
        objective=str(config.objective._target_).rsplit(".", 1)[-1],
        rank=experiment.adapter.rank,
        alpha=experiment.adapter.alpha,
        targets=experiment.adapter.targets,
        trigger=experiment.dataset.trigger,
        step=step,
        config_digest=digest(config),
    )


def _show_density(
    module: FlowMatching, encoded: EncodedDataset, *, loggers: list[Any], folder: RunFolder
) -> None:
    counts = {module.denoiser.num_tokens(shape) for shape in encoded.latents_shapes()}
    path = draw_density(module.sigmas, folder.root / "sigma_density.png", token_counts=counts)
    log_picture(loggers, name="train/sigma_density", path=path, step=0)


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
    sys.exit(128 + signal.Signals[signal_name].value)


def _finished(config: DictConfig, folder: RunFolder, *, loggers: list[Any], result: dict[str, Any]) -> None:
    """Writes result.json and the page, shows the pictures to the loggers and prints where everything is."""
    heading = {"model": config.model.name, "seed": config.seed}
    atomic_write(folder.result, json.dumps({**heading, **result}, indent=2))
    page = write_run_page(folder.root)
    grid = folder.previews / "grid.png"
    if grid.is_file():
        log_picture(loggers, name="preview/grid", path=grid, step=config.steps)
        log.info("grid     %s", grid)
    log.info("adapter  %s", folder.adapter)
    log.info("metrics  %s", folder.metrics)
    log.info("page     %s", page)
