"""One run, as the README tells it: read and encode pictures, train an adapter, draw with its file, write it down."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
from omegaconf import DictConfig, OmegaConf

from loralab.config import Experiment, build, built_study
from loralab.data import EmojiSource, EncodedDataset, encode
from loralab.evaluation.held_out import held_out_subject
from loralab.evaluation.style import emoji_concept
from loralab.files import atomic_write
from loralab.loggers import close_loggers, log_picture
from loralab.memory import pick_device
from loralab.objectives import Planned
from loralab.planning import decided
from loralab.quiet import quiet_libraries
from loralab.report import record_environment, write_run_page
from loralab.run.training import WATCH, Encoded, trained
from loralab.study import Worker, attach
from loralab.training.folder import RunFolder
from loralab.training.meter import Meter
from loralab.training.watch import WatchedTexts, watched_texts

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
            encoded = _encoded(config, experiment)
        with meter.stage("train"):
            training = trained(
                config,
                experiment,
                loggers=loggers,
                encoded=encoded,
                folder=folder,
                worker=worker,
                placement=decision.placement,
                meter=meter,
            )
        with meter.stage("evaluate"):
            is_whole = training["status"] == "finished"
            scores = _evaluated(experiment, encoded=encoded.dataset, folder=folder) if is_whole else {}
        memory = decision.summary(measured_gib=meter.peaks_gib["train"], watch_gib=meter.peaks_gib.get(WATCH))
        if memory["compile"]:
            num_shapes = len(encoded.dataset.latents_shapes())
            log.info(
                "memory: %d graphs compiled, for latents of %d shapes", memory["compiled_graphs"], num_shapes
            )
        result = {
            **training, **scores, "memory": memory, "dataset": encoded.dataset.summary(), "stages": meter.stages
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
    return folder


def _encoded(config: DictConfig, experiment: Experiment) -> Encoded:
    collection = experiment.dataset.collect(experiment.denoiser.size_multiple)
    for note in collection.notes:
        log.info("%s", note)
    objective: object = experiment.objective
    prompts: tuple[str, ...] = ()
    if isinstance(objective, Planned):
        prompts = objective.planned_prompts(
            collection, trigger=experiment.dataset.trigger, num_steps=config.steps
        )
    watched = WatchedTexts((), ())
    if experiment.denoiser.variant == "distilled":
        concept = [record.prompts[0] for record in collection.validation or collection.train]
        watched = watched_texts(experiment.watch, concept=concept, prior=prompts)
    dataset = encode(collection, experiment.denoiser, extra_prompts=(*prompts, *watched.texts))
    return Encoded(dataset, prompts, watched)


def _evaluated(experiment: Experiment, *, encoded: EncodedDataset, folder: RunFolder) -> dict[str, Any]:
    """Draws and scores the adapter file, on what training did not see where there is such."""
    dataset, collection = experiment.dataset, encoded.collection
    known = emoji_concept(dataset.root.partition("/")[0]) if isinstance(dataset.source, EmojiSource) else None
    captions = [record.prompts[0] for record in collection.validation or collection.train]
    held_out = None
    if known is None and experiment.evaluation.fewstep is not None:
        held_out = held_out_subject(collection.validation, trigger=dataset.trigger)
    scores: dict[str, Any] = experiment.evaluation.run(
        experiment.denoiser,
        adapter=folder.adapter,
        folder=folder.root,
        captions=captions,
        concept=known,
        held_out=held_out,
    )
    return scores


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
