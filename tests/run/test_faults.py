"""Runs of a tiny Klein that meet trouble: what is kept, and what is said."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.training.runs import finished, save_pictures, tiny_config
from tests.training.test_resume import signal_after_line

from loralab.errors import UserError
from loralab.memory import Placement
from loralab.objectives import FlowMatching
from loralab.run.failures import settings_of

SHORT = ("steps=4", "batch_size=1", "micro_batch_size=1", "run.save_every=1", "run.validate_every=4")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@contextmanager
def files_no_larger_than(num_bytes: int) -> Iterator[None]:
    """What a full disk does to a file that is being written: the write ends with an error in the middle of it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_memory_that_runs_out_late_keeps_the_snapshot_and_names_settings_that_need_less(
    tiny_klein_folder: Path, pictures: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = FlowMatching.training_step

    def runs_out(self: FlowMatching, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nand much more")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(FlowMatching, "training_step", runs_out)
    config = tiny_config(tiny_klein_folder, pictures, *SHORT, cache=cache)

    with pytest.raises(UserError) as caught:
        finished(config, tmp_path / "run")

    message, snapshot = str(caught.value), tmp_path / "run/snapshots/step_000003.safetensors"
    assert message.startswith("out of memory after step 3: CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert "much more" not in message
    assert f"The last snapshot is {snapshot}; continue with: python train.py run.resume=" in message
    assert "memory=" in message or "Nothing else needs less" in message  # a tiny model is mostly fixed costs
    assert load_file(snapshot)


def test_a_placement_is_named_as_it_is_typed() -> None:
    less = Placement(
        device=torch.device("cuda"),
        dtype=torch.bfloat16,
        kind="int8",
        checkpointing="full",
        offload_blocks=0.5,
    )

    assert settings_of(less) == [
        "memory=int8",
        "memory.checkpointing=full",
        "memory.checkpointed_blocks=1",
        "memory.offload_blocks=0.5",
        "memory.offload_activations=false",
    ]


def test_a_full_disk_leaves_whole_files_and_says_how_to_go_on(
    tiny_klein_folder: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    config = tiny_config(tiny_klein_folder, pictures, *SHORT, cache=cache)
    finished(config, tmp_path / "whole")
    largest = (tmp_path / "whole/checkpoint.ckpt").stat().st_size
    settings = tiny_config(tiny_klein_folder, pictures, *SHORT, cache=cache)

    with (
        files_no_larger_than(largest - 1000),
        pytest.raises(UserError, match=r"cannot be written .*Free some space"),
    ):
        finished(settings, tmp_path / "run")
    left = sorted(path.name for path in (tmp_path / "run").rglob("*") if path.suffix in (".tmp", ".ckpt"))
    settings.run.resume = str(tmp_path / "run")
    finished(settings, tmp_path / "run")

    assert left == []
    assert (tmp_path / "run/adapter.safetensors").read_bytes() == (
        tmp_path / "whole/adapter.safetensors"
    ).read_bytes()


def test_a_run_folder_that_cannot_be_made_is_said_before_anything_is_encoded(
    tiny_klein_folder: Path, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    config = tiny_config(tiny_klein_folder, pictures, *SHORT, cache=tmp_path / "cache")

    with pytest.raises(UserError, match=r"hydra.run.dir=.*file/run cannot be written"):
        finished(config, tmp_path / "file/run")

    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_damaged_cache_file_is_made_again_and_changes_nothing(
    damage: str, tiny_klein_folder: Path, pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_config(tiny_klein_folder, pictures, *SHORT, cache=tmp_path / "cache")
    finished(config, tmp_path / "first")
    path = sorted((tmp_path / "cache/latents").rglob("*.safetensors"))[0]
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content if damage == "flipped" else content[:-9])

    again = finished(config, tmp_path / "again")

    assert again["dataset"]["latents_encoded"] == 1
    assert "damaged" in caplog.text
    first, second = (tmp_path / name / "adapter.safetensors" for name in ("first", "again"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_unicode_spaces_and_very_long_names_do_no_harm(tiny_klein_folder: Path, tmp_path: Path) -> None:
    root = save_pictures(tmp_path / "写真 of Zoë's cat = {a,b} #1")
    for index, name in enumerate(("ä" * 120, "a" * 250, " leading space", "dots.in.the.name", "🐈")):
        (root / f"{index}.png").rename(root / f"{name}.png")
        (root / f"{index}.txt").rename(root / f"{name}.txt")
    folder = tmp_path / ("läuft " * 30).strip() / "und läuft"
    name = str(root).replace("'", "\\'")
    config = tiny_config(tiny_klein_folder, Path(name), *SHORT, cache=tmp_path / "cache ö")

    result = finished(config, folder)

    assert result["dataset"]["train"] == 6
    assert (folder / "report.html").is_file()


@pytest.mark.slow
def test_a_clock_that_is_set_back_changes_nothing(
    tiny_klein_folder: Path, pictures: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(tiny_klein_folder, pictures, *SHORT, cache=cache)
    finished(config, tmp_path / "whole")
    start, calls = time.time(), iter(range(10**9))

    monkeypatch.setattr(time, "time", lambda: start - 3600.0 * next(calls))
    finished(config, tmp_path / "run")

    assert (tmp_path / "run/adapter.safetensors").read_bytes() == (
        tmp_path / "whole/adapter.safetensors"
    ).read_bytes()


@pytest.mark.slow
def test_two_runs_that_start_on_one_empty_cache_end_alike(
    tiny_klein_folder: Path, pictures: Path, tmp_path: Path
) -> None:
    pids = []
    for name in ("one", "two"):
        if (pid := os.fork()) == 0:
            try:
                config = tiny_config(tiny_klein_folder, pictures, *SHORT, cache=tmp_path / "cache")
                finished(config, tmp_path / name)
                os._exit(0)
            finally:
                os._exit(1)
        pids.append(pid)

    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]

    assert codes == [0, 0]
    one, two = (tmp_path / name / "adapter.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert not list((tmp_path / "cache").rglob("*.tmp"))


@pytest.mark.slow
def test_slurms_notice_saves_requeues_the_job_and_the_same_command_goes_on(
    tiny_klein_folder: Path, pictures: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin/scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    folder = tmp_path / "run"
    config = tiny_config(
        tiny_klein_folder, pictures, *SHORT, "steps=30", f"run.resume='{folder}'", cache=cache
    )
    watcher = signal_after_line(folder / "metrics.jsonl", lines=3, number=signal.SIGUSR1)

    with pytest.raises(SystemExit) as stopped:
        finished(config, folder)
    watcher.join()
    left = json.loads((folder / "result.json").read_text())
    result = finished(config, folder)

    assert stopped.value.code == 128 + signal.SIGUSR1
    assert (tmp_path / "asked").read_text() == "requeue 4711\n"
    assert left["status"] == "interrupted"
    assert 0 < left["steps"] < 30
    assert (result["status"], result["steps"]) == ("finished", 30)


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_well_before_a_scheduler_kills(
    tiny_klein_folder: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    config = tiny_config(tiny_klein_folder, pictures, *SHORT, "steps=500", "run.save_every=1000", cache=cache)
    told: list[float] = []
    watcher = signal_after_line(tmp_path / "run/metrics.jsonl", lines=3, told=told)

    with pytest.raises(SystemExit):
        finished(config, tmp_path / "run")
    took = time.monotonic() - told[0]
    watcher.join()

    assert (tmp_path / "run/checkpoint.ckpt").is_file()
    assert took < 10, "30 s is the least that schedulers usually give"


@pytest.mark.slow
def test_no_secret_is_in_any_file_of_a_run(
    tiny_klein_folder: Path, pictures: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_verysecrettoken")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    words = (
        "study.storage='postgresql://me:mypassword@host/db'",
        "name=hf_verysecrettoken",
        "dataset.trigger=sks",
    )
    config = tiny_config(tiny_klein_folder, pictures, *SHORT, *words, "logger=csv", cache=cache)

    finished(config, tmp_path / "run")

    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    leaking = [
        path.name
        for path in files
        for secret in (b"verysecrettoken", b"0123456789abcdef", b"mypassword")
        if secret in path.read_bytes()
    ]
    assert len(files) > 8
    assert leaking == []
