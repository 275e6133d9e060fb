"""The sentinel of a run, made from the run's parts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from loralab.data import EncodedDataset
from loralab.data.video import EncodedClips
from loralab.denoiser import Denoiser
from loralab.training.sentinel import Sentinel, VelocityProbe

if TYPE_CHECKING:
    from loralab.config import Experiment
    from loralab.objectives import Objective
    from loralab.training.folder import RunFolder
    from loralab.training.snapshots import Snapshots
    from loralab.training.validation import Validation


def sentinel_of(
    experiment: Experiment,
    module: Objective[Any],
    *,
    data: EncodedDataset | EncodedClips,
    prior: Sequence[str],
    folder: RunFolder,
    validation: Validation,
    snapshots: Snapshots,
    looking: Callable[[], contextlib.AbstractContextManager[None]],
) -> list[Sentinel]:
    """Gives what sees a run collapse; nothing where it is off, or where an objective steps its optimizers itself."""
    settings, denoiser = experiment.sentinel, experiment.denoiser
    if settings.action == "none" or not module.automatic_optimization:
        return []
    probe = None
    if prior and isinstance(denoiser, Denoiser) and isinstance(data, EncodedDataset):
        embeds = [data.prompt_embeds(text) for text in prior]
        probe = VelocityProbe(denoiser, texts=prior, embeds=embeds, num_steps=settings.num_steps)
    return [
        Sentinel(
            settings, folder=folder, validation=validation, snapshots=snapshots, probe=probe, measured=looking
        )
    ]


def reason_of(sentinel: Sentinel, *, step: int) -> str:
    """Says why the sentinel stopped the run, and which step's adapter there is."""
    alarm = sentinel.alarms[-1]
    return f"stopped by the sentinel at step {sentinel.stopped}: {alarm.message}; the adapter is that of step {step}"
