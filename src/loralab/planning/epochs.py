"""What `auto` means for `run.save_every` and `steps`: both follow from how many pictures there are.

    showings    = pictures of an epoch: each as often as its repeats and its resolutions say, without validation
    save_every  = ceil(3 showings / batch_size)
    steps       = 6 save_every

Source: AIMusicGeneration Research 2026-03-24, of FLUX.2 Klein at one picture per step: save every "N x 3" steps, stop
at six times that. So each picture is seen three times between snapshots and 18 times in all. Micro-batches of
regularisation pictures count as steps, for the source has no other rule: pictures are then seen as often less.

Where the model's safe range ends before, `steps` ends there, unless `safety` says otherwise.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from loralab.data import PictureDataset
from loralab.data.shown import Shown
from loralab.errors import UserError
from loralab.planning.clips import modalities_of
from loralab.ranges import applicable, read_ranges

if TYPE_CHECKING:
    from omegaconf import DictConfig

AUTO = "auto"
EPOCHS_PER_SAVE = 3
SAVES = 6
log = logging.getLogger("loralab")


@dataclass(frozen=True, kw_only=True)
class Epochs:
    """When snapshots are taken, and when training ends.

    Attributes:
        showings: pictures of an epoch.
        batch_size: pictures per step.
        limit: the most steps that the model's safe range allows, or None.
    """

    showings: int
    batch_size: int
    limit: int | None = None

    @property
    def save_every(self) -> int:
        """Steps between snapshots."""
        return math.ceil(EPOCHS_PER_SAVE * self.showings / self.batch_size)

    def steps(self, save_every: int) -> int:
        """Gives the steps of a run that has a snapshot every `save_every`."""
        wanted = SAVES * save_every
        return wanted if self.limit is None else min(wanted, self.limit)


def is_open(config: DictConfig) -> bool:
    """Says whether a configuration leaves steps or snapshots to the number of pictures."""
    return AUTO in (config.steps, config.run.save_every)


def settle(config: DictConfig) -> None:
    """Writes numbers in the place of `auto`, and says which; reads the data set, which must be named by then.

    Raises:
        UserError: if the pictures cannot be used.
    """
    if is_open(config):
        for line in settled_by(config, showings=_showings(config)):
            log.info("%s", line)


def settled_by(config: DictConfig, *, showings: int) -> list[str]:
    """Writes the numbers that follow from so many pictures of an epoch; gives what is to be said of them."""
    epochs = Epochs(showings=showings, batch_size=config.batch_size, limit=_limit(config))
    lines = []
    if config.run.save_every == AUTO:
        config.run.save_every = epochs.save_every
        each = f"{showings} pictures an epoch x {EPOCHS_PER_SAVE}"
        at = "" if config.batch_size == 1 else f" / batch_size={config.batch_size}"
        lines.append(f"run.save_every=auto: {epochs.save_every} steps ({each}{at})")
    if config.steps == AUTO:
        config.steps = epochs.steps(config.run.save_every)
        wanted = SAVES * config.run.save_every
        cut = f"; cut from {wanted}, where the safe range ends" if wanted > config.steps else ""
        lines.append(f"steps=auto: {config.steps} (run.save_every={config.run.save_every} x {SAVES}{cut})")
    return lines


def _limit(config: DictConfig) -> int | None:
    if config.safety != "strict":
        return None
    safe = applicable(read_ranges(config.model.name), partial(OmegaConf.select, config)).get("steps")
    return None if safe is None or safe.high is None else int(safe.high.value)


def _showings(config: DictConfig) -> int:
    """Counts the pictures or clips of an epoch, from the data set itself."""
    from loralab.config import build

    numbered = config.copy()
    settle_without_pictures(numbered, why="none is read yet")
    experiment = build(numbered)
    multiple = experiment.denoiser.size_multiple
    if isinstance(experiment.dataset, PictureDataset):
        return epoch_of(experiment.dataset.collect(multiple).train)
    return epoch_of(experiment.dataset.collect(multiple, has_audio=modalities_of(config)[1]).train)


def epoch_of(records: Sequence[Shown]) -> int:
    """Counts the showings of an epoch."""
    return sum(record.repeats * len(record.buckets) for record in records)


def settle_without_pictures(config: DictConfig, *, why: str) -> list[str]:
    """Writes the model's own numbers in the place of `auto`, where no pictures are read; gives what is to be said."""
    if not is_open(config):
        return []
    if config.model.recipe.get("num_steps") is None:
        raise UserError(f"steps=auto needs pictures, and {why}; set steps=...")
    if config.steps == AUTO:
        config.steps = config.model.recipe.num_steps
    if config.run.save_every == AUTO:
        config.run.save_every = max(config.steps // SAVES, 1)
    return [f"steps=auto: {config.steps} is assumed, since {why}"]
