"""A program that a sweep can launch in place of train.py: the same configuration and study, a loss that is a formula.

Its loss after n steps is a bowl around lr = 3e-3 and rank 16 that is sunk into with n and rises again when lr is high,
so that pruning, lengths and samplers have something to do within a second. PROGRAM in the environment (JSON) makes it
slow, and lets it die, fail, diverge or run out of memory.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "src"))

from loralab.config import built_study  # noqa: E402
from loralab.files import atomic_write  # noqa: E402
from loralab.study import Worker, attach  # noqa: E402

EVERY = 10


@hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name="train")
def main(config: DictConfig) -> None:
    """Takes up its trial and "trains"."""
    root = Path(HydraConfig.get().runtime.output_dir)
    wish: dict[str, Any] = json.loads(os.environ.get("PROGRAM", "{}"))
    number = config.trial.number
    worker = None if number is None else attach(number, built_study(config), num_steps=config.steps)
    (root / "result.json").unlink(missing_ok=True)
    with (root / "starts").open("a") as file:
        file.write(f"{number} {os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')} {saved(config, root)}\n")
    if worker is None:
        trained(config, root=root, worker=None, wish=wish)
        return
    with worker.at_work(root):
        trained(config, root=root, worker=worker, wish=wish)


def trained(config: DictConfig, *, root: Path, worker: Worker | None, wish: dict[str, Any]) -> None:
    """Goes through the steps from the last checkpoint on and leaves what a run leaves, also when asked to stop."""
    start, asked = time.monotonic(), threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: asked.set())
    misfortune(config, wish, root=root)
    first = saved(config, root)
    curve = [[step, loss(config, step)] for step in range(0, first + 1, EVERY)]
    answers = [] if worker is None else [worker.report(step, score) for step, score in curve[1:]]
    is_pruned = any(answers)
    status = "pruned" if is_pruned else "finished"
    for step in () if is_pruned else range(first + EVERY, config.steps + 1, EVERY):
        time.sleep(wish.get("seconds_per_step", 0) * EVERY)
        curve.append([step, loss(config, step)])
        atomic_write(root / "checkpoint.ckpt", str(step))
        if worker is not None and worker.report(step, curve[-1][1]) and step < config.steps:
            status = "pruned"
            break
        if asked.is_set() and step < config.steps:
            atomic_write(root / "result.json", json.dumps({"status": "interrupted", "steps": step}))
            sys.exit(128 + signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)
    seconds = time.monotonic() - start
    stages = {"train": {"wall_time_s": seconds, "peak_memory_gib": 2.0 + config.adapter.rank / 16}}
    result = {"status": status, "steps": curve[-1][0], "validation": curve, "stages": stages}
    result["style"] = {"distance": curve[-1][1] / 2}
    atomic_write(root / "result.json", json.dumps(result))


def saved(config: DictConfig, root: Path) -> int:
    """Gives the step from which a run goes on."""
    checkpoint = root / "checkpoint.ckpt"
    return int(checkpoint.read_text()) if config.run.resume and checkpoint.is_file() else 0


def misfortune(config: DictConfig, wish: dict[str, Any], *, root: Path) -> None:
    """Ends badly where it was wished for: by parameter, or at a trial's first attempt."""
    if config.optimizer.lr > wish.get("oom_above", math.inf):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if config.optimizer.lr > wish.get("diverge_above", math.inf):
        atomic_write(
            root / "result.json", json.dumps({"status": "diverged", "reason": "the loss became nan"})
        )
        sys.exit(2)
    if config.optimizer.lr > wish.get("fail_above", math.inf):
        raise ValueError("a mistake of the program's own")
    if config.optimizer.lr > wish.get("abort_above", math.inf):
        os.write(2, b"CUDA error: out of memory\n")
        os._exit(1)
    attempts = len((root / "starts").read_text().splitlines())
    if config.trial.number in wish.get("die_in", []) and attempts == 1:
        (root / "checkpoint.ckpt").write_text(str(EVERY))
        os.kill(os.getpid(), signal.SIGKILL)


def loss(config: DictConfig, step: int) -> float:
    """Gives the loss after so many steps."""
    off = math.log10(config.optimizer.lr / 3e-3) ** 2 + 0.1 * math.log2(config.adapter.rank / 16) ** 2
    gain = 1 - math.exp(-step / 40)
    overfit = 0.1 * max(0.0, step - 60) / 60 * (config.optimizer.lr / 3e-3)
    return 1.0 - gain * math.exp(-off) + overfit * gain


if __name__ == "__main__":
    main()
