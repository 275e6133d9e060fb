"""How wide a pack is: `pack=auto|K`."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from omegaconf import DictConfig, OmegaConf

from loralab.config import build
from loralab.errors import UserError
from loralab.memory import pick_device
from loralab.planning.packed import Packs


def width_of(pack: str | int, config: DictConfig, *, rank: int, targets: Sequence[str], most: int) -> int:
    """Gives how many trials train at a time.

    Args:
        pack: as typed: a number, or `auto` for what the memory planner says.
        config: of any of the trials.
        rank: the largest of any trial.
        targets: all `adapter.targets` of trials.
        most: trials that there are.

    Raises:
        UserError: for anything else.
    """
    if pack == "auto":
        plain = OmegaConf.to_yaml(config)
        if pick_device(config.trainer.accelerator).type == "cpu":
            return _planned(plain, rank, targets, most)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as apart:
            return apart.submit(
                _planned, plain, rank, targets, most
            ).result()  # what asks a GPU keeps some of its memory
    if not str(pack).isdecimal() or int(pack) < 1:
        raise UserError(f"pack={pack} must be auto or a number of trials, at least 1")
    return min(int(pack), most)


def _planned(plain: str, rank: int, targets: Sequence[str], most: int) -> int:
    config = OmegaConf.create(plain)
    assert isinstance(config, DictConfig)
    return Packs.of(build(config), config, rank=rank, targets=targets).width(most=most)
