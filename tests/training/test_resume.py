import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from tests.training.runs import finished, logged, save_pictures, tiny_config

RUN = (
    "steps=8",
    "batch_size=2",
    "micro_batch_size=1",
    "run.save_every=100",
    "run.validate_every=2",
    "dataset.validation_fraction=0.2",
    "dataset.caption_dropout=0.2",
    "adapter.dropout=0.3",
    "ema_decay=0.9",
    "schedule=cosine",
    "schedule.warmup_steps=2",
)


def signal_after_line(
    path: Path, *, lines: int, number: signal.Signals = signal.SIGTERM, told: list[float] | None = None
) -> threading.Thread:
    """Sends a signal to this process once the file has so many lines, and notes when."""

    def watch() -> None:
        while not path.is_file() or path.read_text().count("\n") < lines:
            time.sleep(0.002)
        if told is not None:
            told.append(time.monotonic())
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("prodigy", marks=pytest.mark.slow)])
def test_an_interrupted_and_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    optimizer: str, tiny_klein_folder: Path, tmp_path: Path
) -> None:
    pictures, cache = save_pictures(tmp_path / "pictures"), tmp_path / "cache"
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    overrides = (*RUN, f"optimizer={optimizer}")
    finished(tiny_config(tiny_klein_folder, pictures, *overrides, cache=cache), whole)

    config = tiny_config(tiny_klein_folder, pictures, *overrides, cache=cache)
    watcher = signal_after_line(cut / "metrics.jsonl", lines=4)
    with pytest.raises(SystemExit) as stopped:
        finished(config, cut)
    watcher.join()
    interrupted = json.loads((cut / "result.json").read_text())
    config.run.resume = str(cut)
    finished(config, cut)

    assert stopped.value.code == 128 + signal.SIGTERM
    assert interrupted["status"] == "interrupted"
    assert 0 < interrupted["steps"] < 8
    for name in ("train/loss", "train/learning_rate", "validation/loss"):
        assert logged(cut, name) == logged(whole, name)
    assert (cut / "adapter.safetensors").read_bytes() == (whole / "adapter.safetensors").read_bytes()
