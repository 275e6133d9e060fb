"""What a run on clips does otherwise than one on pictures: reading, the layers that are adapted, evaluation."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.loggers import Logger
from torch import nn

from loralab.config import Experiment
from loralab.data.video import EncodedClips, VideoDataset
from loralab.denoiser import ClipDenoiser
from loralab.loggers import log_video
from loralab.objectives import AudioVideoFlow
from loralab.training.folder import RunFolder

log = logging.getLogger("loralab")


def expect_modalities(experiment: Experiment) -> None:
    """Tells a model of clips whether the run gives it sound, before it is loaded."""
    denoiser, objective = experiment.denoiser, experiment.objective
    if isinstance(denoiser, ClipDenoiser) and isinstance(objective, AudioVideoFlow):
        denoiser.expect(has_audio=objective.has_audio)


def encoded_clips(experiment: Experiment) -> EncodedClips:
    """Lists and checks the clips of a run, encodes what is not encoded yet, and frees the encoders.

    Raises:
        UserError: before anything is encoded, where part of the adapter would learn nothing.
    """
    dataset, denoiser, objective = experiment.dataset, experiment.denoiser, experiment.objective
    assert isinstance(dataset, VideoDataset)
    assert isinstance(denoiser, ClipDenoiser)
    assert isinstance(objective, AudioVideoFlow)
    with torch.random.fork_rng(
        devices=[]
    ):  # loading encoders draws numbers; a warm cache must not change the run
        _require_trainable_layers(experiment)
        collection = dataset.collect(denoiser.size_multiple, has_audio=objective.has_audio)
        for note in collection.notes:
            log.info("%s", note)
        return dataset.encode(collection, denoiser)


def adapted_layers(experiment: Experiment) -> str:
    """Gives the pattern of the layers that carry the adapter: without those of a modality that is absent."""
    denoiser, objective, targets = experiment.denoiser, experiment.objective, experiment.adapter.targets
    if isinstance(denoiser, ClipDenoiser) and isinstance(objective, AudioVideoFlow):
        roles = objective.roles
        return denoiser.trained_pattern(targets, has_video=roles.has_video, has_audio=roles.has_audio)
    return denoiser.target_pattern(targets)


def evaluated_clips(experiment: Experiment, *, encoded: EncodedClips, folder: RunFolder) -> dict[str, Any]:
    """Draws and scores the adapter file, on clips that training did not see where there are such."""
    collection = encoded.collection
    scores: dict[str, Any] = experiment.evaluation.run_clips(
        experiment.denoiser,
        adapter=folder.adapter,
        folder=folder.root,
        shown=collection.validation or collection.train,
        references=collection.references,
    )
    return scores


def show_clips(loggers: Sequence[Logger], folder: RunFolder, *, step: int) -> None:
    """Sends the clips that were drawn to the loggers that take videos, each under its column and row."""
    index = folder.previews / "index.json"
    rows = json.loads(index.read_text(encoding="utf-8"))["rows"] if index.is_file() else []
    for number, row in enumerate(rows):
        for path in sorted(folder.previews.glob(f"*/{number:02d}.mp4")):
            log_video(
                loggers,
                name=f"preview/{path.parent.name}/{path.stem}",
                path=path,
                caption=row["prompt"],
                step=step,
            )


def _require_trainable_layers(experiment: Experiment) -> None:
    denoiser, objective = experiment.denoiser, experiment.objective
    assert isinstance(denoiser, ClipDenoiser)
    assert isinstance(objective, AudioVideoFlow)
    pattern, network = adapted_layers(experiment), denoiser.blueprint().transformer
    names = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and re.fullmatch(pattern, name)
    ]
    roles = objective.roles
    denoiser.require_trainable_layers(
        names, experiment.adapter.targets, has_video=roles.has_video, has_audio=roles.has_audio
    )
