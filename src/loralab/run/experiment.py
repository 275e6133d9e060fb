"""One run, as the README tells it: read and encode pictures, train an adapter, draw with its file, write it down."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
from omegaconf import DictConfig, OmegaConf

from loralab import names
from loralab.config import Experiment, build, built_study
from loralab.data import EmojiSource, EncodedDataset, PictureDataset, encode
from loralab.data.video import EncodedClips, VideoDataset
from loralab.denoiser import Denoiser
from loralab.evaluation.held_out import held_out_subject
from loralab.evaluation.style import emoji_concept
from loralab.files import atomic_write, remove_leftovers
from loralab.loggers import close_loggers, log_figures, log_picture
from loralab.loggers.redact import redacted
from loralab.memory import pick_device
from loralab.objectives import Planned
from loralab.planning import decided, settle
from loralab.quiet import quiet_libraries
from loralab.report import record_environment, write_run_page
from loralab.run.clips import encoded_clips, evaluated_clips, expect_modalities, show_clips
from loralab.run.failures import unwritable
from loralab.run.place import Place
from loralab.run.training import WATCH, Encoded, trained
from loralab.study import Worker, attach
from loralab.training.folder import RunFolder
from loralab.training.meter import Meter
from loralab.training.sentinel import prior_texts
from loralab.training.watch import WatchedTexts, watched_texts

log = logging.getLogger("loralab")


def run(
    config: DictConfig, *, root: Path, overrides: Sequence[str], place: Place | None = None
) -> dict[str, Any]:
    """Runs one experiment from pictures to report; returns what `result.json` holds.

    With `trial.number` it is a trial of the study in `study`, which is told what came of it.

    Args:
        config: composed from `conf/train.yaml`.
        root: the run's folder; with `run.resume` the folder of the run that goes on.
        overrides: what was typed.
        place: where the run trains beside others on one base; None gives it a base of its own.

    Raises:
        UserError: for anything the user can mend.
        SystemExit: with 128 + signal when the run was interrupted; its checkpoint is saved.
    """
    quiet_libraries()
    settle(config)
    worker = _worker(config, stop=None if place is None else place.stop)
    with worker.at_work(root) if worker else contextlib.nullcontext():
        return _ran(config, root=root, overrides=overrides, worker=worker, place=place)


def _worker(config: DictConfig, *, stop: Callable[[], None] | None) -> Worker | None:
    """Gives the run's side of its trial, in the first process of a trial's run."""
    if config.trial.number is None or not _is_first():
        return None
    return attach(config.trial.number, built_study(config), num_steps=config.steps, stop=stop)


def _is_first() -> bool:
    """Says whether this is the first, or only, process of the run."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("RANK", "0") == "0"


def _ran(
    config: DictConfig, *, root: Path, overrides: Sequence[str], worker: Worker | None, place: Place | None
) -> dict[str, Any]:
    experiment = build(config)
    folder = _opened(config, root=root, overrides=overrides)
    device = pick_device(config.trainer.accelerator)
    expect_modalities(experiment)
    if place is None:
        lightning.seed_everything(config.seed, verbose=False)
        decision = decided(config, experiment.memory, experiment.denoiser, device=device)
        experiment.denoiser.place(decision.placement)
    else:
        experiment, decision = replace(experiment, denoiser=place.seat.denoiser), place.decision
    meter = Meter(device, alone=place is None)
    loggers = experiment.loggers(folder=folder.root, config=_described(config, worker))
    status = "failed"
    try:
        with meter.stage("encode"):
            encoded = encoded_for(config, experiment) if place is None else place.encoded
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
                place=place,
            )
        with meter.stage("evaluate"):
            is_whole = training["status"] in ("finished", "stopped")
            scores = _evaluated(experiment, encoded=encoded.dataset, folder=folder) if is_whole else {}
        memory = decision.summary(measured_gib=meter.peaks_gib["train"], watch_gib=meter.peaks_gib.get(WATCH))
        if memory["compile"]:
            num_shapes = len(encoded.dataset.latents_shapes())
            log.info(
                "memory: %d graphs compiled, for latents of %d shapes", memory["compiled_graphs"], num_shapes
            )
        beside = {} if place is None else {"packed": {"width": place.width}}
        result = {
            **training, **scores, **beside, "memory": memory, "dataset": encoded.dataset.summary(),
            "stages": meter.stages,
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
    if config.run.resume and _is_first():
        remove_leftovers(root)
    typed = [override for override in overrides if not override.startswith("run.resume=")]
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(root, error) from error
    atomic_write(folder.overrides, OmegaConf.to_yaml(OmegaConf.create(typed)))
    plain = OmegaConf.to_container(config, resolve=True)
    atomic_write(folder.config, OmegaConf.to_yaml(OmegaConf.create(redacted(plain))))
    record_environment(folder.root)
    log.info("run folder: %s", folder.root)
    return folder


def encoded_for(config: DictConfig, experiment: Experiment) -> Encoded:
    """Reads the pictures of a run, encodes what is not encoded yet, and frees the encoders."""
    if isinstance(experiment.dataset, VideoDataset):
        return Encoded(encoded_clips(experiment), (), WatchedTexts((), ()))
    assert isinstance(experiment.denoiser, Denoiser)
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
    prior = prior_texts(experiment.sentinel, collection)
    dataset = encode(collection, experiment.denoiser, extra_prompts=(*prompts, *watched.texts, *prior))
    return Encoded(dataset, prompts, watched, prior)


def _evaluated(
    experiment: Experiment, *, encoded: EncodedDataset | EncodedClips, folder: RunFolder
) -> dict[str, Any]:
    """Draws and scores the adapter file, on what training did not see where there is such."""
    if isinstance(encoded, EncodedClips):
        return evaluated_clips(experiment, encoded=encoded, folder=folder)
    assert isinstance(experiment.dataset, PictureDataset)
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
    log_figures(loggers, result, step=config.steps)
    grid = folder.previews / "grid.png"
    if grid.is_file():
        log_picture(loggers, name=names.PREVIEW, path=grid, step=config.steps)
        log.info("grid     %s", grid)
    show_clips(loggers, folder, step=config.steps)
    log.info("adapter  %s", folder.adapter)
    log.info("metrics  %s", folder.metrics)
    log.info("page     %s", page)
