"""Whole runs on a tiny twin: folder of pictures in, adapter out, in the test's own process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image

from loralab.config import CONF
from loralab.run import run


def save_pictures(folder: Path, *, count: int = 6, side: int = 64) -> Path:
    """Saves pictures of noise in two aspects with captions beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    source = np.random.default_rng(0)
    for index in range(count):
        height = side if index % 3 else 2 * side
        Image.fromarray(source.integers(0, 256, (height, side, 3), dtype=np.uint8)).save(
            folder / f"{index}.png"
        )
        (folder / f"{index}.txt").write_text(f"picture number {index}")
    return folder


def tiny_config(checkpoint: Path, pictures: Path, *overrides: str, cache: Path) -> DictConfig:
    """Composes a run of a tiny Klein on the CPU."""
    base = [
        "model=flux2_klein4b",
        f"model.checkpoint={checkpoint}",
        "model.max_prompt_length=16",
        "model.recipe.resolution=64",
        "model.sampling={height: 64, width: 64, num_steps: 2, guidance_scale: 4.0}",
        f"dataset.root='{pictures}'",
        f"cache_root='{cache}'",
        "trainer=smoke",
        "evaluation=none",
        "logger=none",
        "memory.checkpointing=none",
        "run.log_every=1",
        "sentinel.action=none",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [*base, *overrides])


def finished(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Runs to the end and gives result.json."""
    run(config, root=folder, overrides=[])
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def logged(folder: Path, name: str) -> dict[int, float]:
    """Gives one metric by step."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}
