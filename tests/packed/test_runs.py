"""A packed run is the run that it would be alone, files and all."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import DictConfig
from optuna.trial import TrialState, create_trial
from tests.packed.packs import difference, jobs, packed
from tests.training.runs import finished, logged, save_pictures, tiny_config

from loralab.adapter import export_adapter
from loralab.errors import UserError
from loralab.run.alike import differing, unpackable
from loralab.run.pack import Pack, run_all
from loralab.study.storage import open_storage, storage_url

SETTINGS = (
    ("adapter.rank=4", "adapter.alpha=3", "adapter.dropout=0.1", "optimizer.lr=1e-3"),
    (
        "adapter.rank=8",
        "adapter.targets=attention_mlp",
        "batch_size=4",
        "optimizer=prodigy",
        "optimizer.lr=1.0",
    ),
    ("adapter.rank=2", "adapter.init=orthogonal", "schedule=cosine", "optimizer.lr=2e-3", "ema_decay=0.5"),
    ("adapter.rank=6", "adapter=rslora", "steps=3", "seed=1", "optimizer=adamw8bit"),
)
SHARED = ("safety=off", "steps=4", "batch_size=2", "micro_batch_size=2", "run.validate_every=2",
          "dataset.validation_fraction=0.3", "run.save_every=2")  # fmt: skip
ILL = ("optimizer.lr=1e12", "steps=20")
NAMES = ("train/loss", "train/gradient_norm", "validation/loss")
Configure = Callable[..., DictConfig]


@pytest.fixture
def configured(tiny_klein_folder: Path, tmp_path: Path) -> Configure:
    pictures = save_pictures(tmp_path / "pictures")
    return lambda *own: tiny_config(tiny_klein_folder, pictures, *SHARED, *own, cache=tmp_path / "cache")


def require_same(alone: Path, beside: Path, *, rel: float = 1e-6) -> None:
    assert difference(alone / "adapter.safetensors", beside / "adapter.safetensors") < rel
    for name in NAMES:
        assert logged(beside, name) == pytest.approx(logged(alone, name), rel=rel)


@pytest.mark.slow
def test_beside_one_that_diverges_runs_are_those_alone_and_a_free_slot_is_taken_by_the_next(
    configured: Configure, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="loralab")
    configs = [configured(*own) for own in (SETTINGS[0], ILL, SETTINGS[1])]

    pack, ends = packed(configs, tmp_path, width=2)

    assert [type(end) for end in ends] == [type(None), UserError, type(None)]
    assert json.loads((tmp_path / "1/result.json").read_text())["status"] == "diverged"
    assert max(pack.num_passes) == 2
    for number in (0, 2):
        result = finished(configs[number], tmp_path / f"alone{number}")
        require_same(tmp_path / f"alone{number}", tmp_path / f"{number}")
        beside = json.loads((tmp_path / f"{number}/result.json").read_text())
        assert beside.keys() - result.keys() == {"packed"}
        assert "run folder" in (tmp_path / f"{number}/console.log").read_text()


def test_what_needs_a_process_of_its_own_says_why(configured: Configure) -> None:
    plain = configured()

    assert unpackable(plain) is None
    assert (
        differing(
            configured("adapter.rank=2", "optimizer=muon", "seed=3", "trainer.gradient_clip_val=2"), plain
        )
        is None
    )
    assert differing(configured("run.save_every=7"), plain) is None
    assert "micro_batch_size=1 differs" in str(differing(configured("micro_batch_size=1"), plain))
    assert "dataset.caption_dropout" in str(differing(configured("dataset.caption_dropout=0.1"), plain))
    assert "evaluation.previews" in str(unpackable(configured("evaluation=preview")))
    assert "adapter=dora" in str(unpackable(configured("adapter=dora")))
    assert "peak_memory_gib" in str(unpackable(configured("study.constraints={peak_memory_gib: 3}")))


@pytest.mark.slow
def test_a_run_that_was_stopped_in_a_pack_goes_on_alone_and_the_other_way_round(
    configured: Configure, tmp_path: Path
) -> None:
    own = (*SETTINGS[0], "steps=12", "run.save_every=100")
    whole = finished(configured(*own), tmp_path / "whole")
    pack = Pack(configured(*own), width=2, rank=4, targets=["attention_mlp"])
    stop_beyond(pack, tmp_path / "0", step=3)

    ends = run_all(pack, jobs([configured(*own), configured(*own)], tmp_path))
    assert isinstance(ends[0], SystemExit) and ends[1] is None
    stopped = json.loads((tmp_path / "0/result.json").read_text())
    finished(configured(*own, f"run.resume={tmp_path / '0'}"), tmp_path / "0")

    assert stopped["status"] == "interrupted" and stopped["steps"] < 12
    assert whole["steps"] == 12
    require_same(tmp_path / "whole", tmp_path / "0")
    require_same(tmp_path / "whole", tmp_path / "1")


@pytest.mark.slow
def test_of_eight_one_diverges_one_is_pruned_one_is_stopped_and_the_others_are_as_alone(
    configured: Configure, tmp_path: Path
) -> None:
    rates = ("1e-3", "2e-3", "5e-4", "3e-3", "1e-4")
    healthy = [("adapter.rank=4", f"optimizer.lr={rate}", "steps=20") for rate in rates]
    pruned = ("optimizer.lr=1e-3", "steps=20", *hopeless_trial(tmp_path))
    owns = (ILL, pruned, ("optimizer.lr=1e-3", "steps=200"), *healthy)
    configs = [configured(*own) for own in owns]
    pack = Pack(configs[0], width=8, rank=16, targets=[configs[0].adapter.targets])
    stop_beyond(pack, tmp_path / "2", step=5)

    ends = run_all(pack, jobs(configs, tmp_path))

    results = [json.loads((tmp_path / f"{number}/result.json").read_text()) for number in range(8)]
    assert [result["status"] for result in results] == [
        "diverged",
        "pruned",
        "interrupted",
        *["finished"] * 5,
    ]
    assert [type(end) for end in ends[:3]] == [UserError, type(None), SystemExit]
    assert max(pack.num_passes) == 8
    for number in range(3, 8):
        finished(configs[number], tmp_path / f"alone{number}")
        require_same(tmp_path / f"alone{number}", tmp_path / f"{number}")


@pytest.mark.slow
def test_each_packed_run_is_one_of_its_own_on_wandb(
    configured: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    configs = [
        configured(*own, "logger=wandb", "logger.wandb.group=g") for own in (SETTINGS[0], ILL, SETTINGS[2])
    ]

    _, ends = packed(configs, tmp_path, width=3)

    assert [type(end) for end in ends] == [type(None), UserError, type(None)]
    ids = set()
    for number in range(3):
        told = wandb_records(tmp_path / f"{number}")
        (run,) = (record["run"] for record in told if record["type"] == "run")
        ids.add(run["run_id"])
        assert run["run_group"] == "g" and run["display_name"].endswith(f"/{number}")
        items = [record["history"]["item"] for record in told if record["type"] == "history"]
        losses = {item["trainer/global_step"]: item["train/loss"] for item in items if "train/loss" in item}
        known = {
            step: "NaN" if x is None else x
            for step, x in logged(tmp_path / f"{number}", "train/loss").items()
        }
        assert losses == known
    assert len(ids) == 3


@pytest.mark.slow
def test_a_slow_write_of_one_trial_does_not_stop_the_steps_of_another(
    configured: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [configured(*SETTINGS[0], "steps=3", "run.save_every=1"), configured(*SETTINGS[2], "steps=80")]
    other, meanwhile = tmp_path / "1/metrics.jsonl", []

    def num_steps() -> int:
        return len(logged(other.parent, "train/loss")) if other.is_file() else 0

    def slowly(transformer: Any, path: Path, **settings: Any) -> None:
        if path.is_relative_to(tmp_path / "0"):
            before = num_steps()
            time.sleep(0.5)
            meanwhile.append(num_steps() - before)
        export_adapter(transformer, path, **settings)

    monkeypatch.setattr("loralab.training.snapshots.export_adapter", slowly)

    pack, ends = packed(configs, tmp_path, width=2)

    assert ends == [None, None]
    assert max(pack.num_passes) == 2
    assert len(meanwhile) == 3 and min(meanwhile[1:]) > 1  # at its first step the other may not have begun
    monkeypatch.undo()
    finished(configs[0], tmp_path / "alone0")
    require_same(tmp_path / "alone0", tmp_path / "0")


def wandb_records(folder: Path) -> list[dict[str, Any]]:
    """Gives what an offline W&B run has written."""
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def stop_beyond(pack: Pack, root: Path, *, step: int) -> None:
    """Ends a run of a pack from another thread once it has logged a step."""

    def watch() -> None:
        while not (root / "metrics.jsonl").is_file() or max(logged(root, "train/loss"), default=0) < step:
            time.sleep(0.01)
        pack.stop(root)

    threading.Thread(target=watch, daemon=True).start()


def hopeless_trial(folder: Path) -> tuple[str, ...]:
    """Makes a study of perfect trials with a further one that runs; gives that one's overrides."""
    url = f"sqlite:///{folder / 'study.db'}"
    study = optuna.create_study(study_name="s", storage=open_storage(storage_url(url, folder=folder)))
    perfect: dict[int, Any] = dict.fromkeys(range(0, 21, 2), 0.0)
    for _ in range(4):
        study.add_trial(create_trial(state=TrialState.COMPLETE, value=0.0, intermediate_values=perfect))
    number = study.ask().number
    options = "study.pruner_options={n_startup_trials: 0, n_warmup_steps: 0}"
    return f"trial.number={number}", "study.name=s", f"study.storage='{url}'", "study.pruner=median", options
