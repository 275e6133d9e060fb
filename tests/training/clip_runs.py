"""Whole runs on a tiny LTX-Video: clips with sound in, adapter out, in the test's own process."""

from __future__ import annotations

import json
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from tests.data.video.files import write_video

from loralab.config import CONF

SAMPLING = "{num_steps: 2, width: 64, height: 64, num_frames: 9, fps: 24.0, negative_prompt: ''}"


def save_clips(folder: Path, *, count: int = 4, frames: int = 9, sound: str | None = "stereo") -> Path:
    """Saves clips of two shapes, which differ in nothing but their length, with captions and sound."""
    for index in range(count):
        write_video(
            folder / f"{index}.mp4",
            frames=frames + index,
            width=64 if index % 2 else 96,
            sound=sound,
            caption=f"clip number {index} with a tone",
        )
    return folder


def save_pairs(folder: Path, *, count: int = 3, **beside: str) -> Path:
    """Saves clips with a reference for each, and the JSONL file that lists them."""
    lines = []
    for index in range(count):
        for part in ("clips", "controls"):
            write_video(folder / part / f"{index}.mp4", frames=9 + index + (part == "controls"), caption=None)
        line = {"video": f"clips/{index}.mp4", "caption": f"clip number {index}"}
        lines.append(line | (beside or {"reference_video": f"controls/{index}.mp4"}))
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def clip_config(checkpoint: Path, clips: Path, *overrides: str, cache: Path) -> DictConfig:
    """Composes a run of a tiny LTX-Video on the CPU."""
    base = [
        "model=ltx23",
        f"model.checkpoint={checkpoint}",
        "model.max_prompt_length=16",
        f"++model.sampling={SAMPLING}",
        f"dataset.root='{clips}'",
        "dataset.buckets='96x64x9;64x64x9'",
        f"cache_root='{cache}'",
        "trainer=smoke",
        "logger=none",
        "evaluation=none",
        "steps=3",
        "adapter.rank=4",
        "run.log_every=1",
        "run.validate_every=2",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [*base, *overrides])
