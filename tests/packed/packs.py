"""Packs of tiny runs, and the same runs alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig
from safetensors.torch import load_file

from loralab.run.pack import Job, Pack, run_all


def jobs(configs: Sequence[DictConfig], folder: Path) -> list[Job]:
    """Gives a job for each configuration, each with its own folder."""
    return [
        Job(config=config, root=folder / f"{number}", overrides=[]) for number, config in enumerate(configs)
    ]


def packed(
    configs: Sequence[DictConfig], folder: Path, *, width: int
) -> tuple[Pack, list[BaseException | None]]:
    """Runs configurations in one pack; gives it, and what each run ended with."""
    pack = Pack(
        configs[0],
        width=width,
        rank=max(config.adapter.rank for config in configs),
        targets=sorted({config.adapter.targets for config in configs}),
    )
    return pack, run_all(pack, jobs(configs, folder))


def difference(one: Path, other: Path) -> float:
    """Gives the relative distance between the adapters of two files."""
    a, b = load_file(one), load_file(other)
    assert a.keys() == b.keys()
    distance = torch.stack([(a[key].double() - b[key].double()).square().sum() for key in a]).sum().sqrt()
    return float(
        distance / torch.stack([tensor.double().square().sum() for tensor in a.values()]).sum().sqrt()
    )
