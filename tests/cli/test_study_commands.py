from __future__ import annotations

import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from tests.report.study.studies import asked, empty_study, filled_study, finish
from tests.training.runs import save_pictures

from loralab.cli import confirm, dashboard, study
from loralab.cli.arguments import typed
from loralab.cli.experiment_file import write_experiment
from loralab.config import CONF
from loralab.errors import UserError
from loralab.study import attrs

MANY = [
    "model=zimage_base",
    "dataset=hub",
    "optimizer=prodigy",
    "optimizer.lr=0.5",
    "logger=[wandb,csv]",
    "dataset.trigger='my, word'",
    "dataset.root=user/pictures",
    "adapter.rank=8",
    "run.validation_sigmas=[0.1,0.5]",
    "steps=80",
    "name='1e-3'",
    "ema_decay=1e-08",
    "+trainer.note={a: 1}",
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a filled study: SQLite takes its time to write one."""
    file = tmp_path_factory.mktemp("studies") / "study.db"
    filled_study(10, storage=f"sqlite:///{file}", overrides=["model=nano_klein", "dataset.trigger='my word'"])
    return file


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with the folder of study `bowl`."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "outputs" / "studies" / "bowl"
    folder.mkdir(parents=True)
    return folder


def composed(overrides: Sequence[str], *, searched: Path | None = None) -> Any:
    path = [] if searched is None else [f"hydra.searchpath=['file://{searched}']"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("train", [*path, *overrides]))


def test_study_prints_what_was_found_and_leaves_its_files(
    here: Path, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(database, here)

    study.main(["bowl", "num_best=3"])

    printed = capsys.readouterr().out
    assert "Best trials" in printed and printed.count("1.50 GiB") == 3 + 1
    files = ("trials.csv", "study.json", "history.png", "importance.png", "curves.png", "pareto.png")
    assert all((here / name).is_file() for name in (*files, "experiment/best.yaml"))


def test_the_best_yaml_composes_to_what_the_printed_line_composes_to(
    here: Path, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(database, here)

    study.main(["bowl"])

    (line,) = (each for each in capsys.readouterr().out.splitlines() if "python train.py" in each)
    assert composed(["experiment=best"], searched=here) == composed(shlex.split(line)[2:])


def test_every_kind_of_override_has_its_place_in_an_experiment_file(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, "best", overrides=MANY, sentence="All kinds.")

    assert path.read_text().startswith("# @package _global_\n# All kinds.\n#   python train.py --config-dir")
    assert composed(["experiment=best"], searched=tmp_path) == composed(MANY)


def test_an_experiment_file_builds_on_the_experiment_that_the_line_named(tmp_path: Path) -> None:
    write_experiment(tmp_path, "base", overrides=["optimizer=prodigy", "adapter.rank=4"], sentence="First.")
    write_experiment(tmp_path, "best", overrides=["experiment=base", "adapter.rank=8"], sentence="Second.")

    expected = composed(["optimizer=prodigy", "adapter.rank=8"])

    assert composed(["experiment=best"], searched=tmp_path) == expected


def test_what_a_file_cannot_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"~dataset\.trigger: an experiment file cannot delete"):
        write_experiment(tmp_path, "best", overrides=["~dataset.trigger"], sentence="")


def test_a_study_that_does_not_exist_is_refused_with_near_names(here: Path, database: Path) -> None:
    shutil.copy(database, here)

    with pytest.raises(UserError, match="bowl"):
        study.main(["bow"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "study needs the name of a study"),
        (["bowl", "num_bets=3"], "study: num_bets is no setting; known: num_best"),
        (["bowl", "num_best=many"], "num_best=many must be a whole number of at least 1"),
        (["bowl", "wandb=perhaps"], "wandb=perhaps must be true or false"),
    ],
)
def test_a_mistake_is_told_with_the_way_out(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        study.main(arguments)


def test_the_name_may_be_typed_as_a_setting() -> None:
    assert typed(["name=bowl"], command="study", known=("name",)) == {"name": "bowl"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seeds=1"], "seeds=1 must be a whole number of at least 2"),
        (["first_seed=0"], "the search has used seed 0; type another first_seed"),
        (["direction=down", "metric=style.pixel.adapter"], "direction=down must be minimize or maximize"),
        (["direction=maximize"], "belongs to metric="),
        (["num_bets=2"], "num_bets"),
        (["gpus=first"], "gpus=first must be whole numbers, as gpus=0,1"),
    ],
)
def test_confirm_refuses_mistakes_before_anything_runs(
    here: Path, database: Path, arguments: list[str], message: str
) -> None:
    shutil.copy(database, here)

    with pytest.raises(UserError, match=message):
        confirm.main(["bowl", *arguments])

    assert not (here / "confirm").exists()


@pytest.mark.slow
def test_confirm_runs_what_is_missing_and_compares(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures, held_out = (save_pictures(here.parent / f"{count} pictures", count=count) for count in (2, 1))
    data = ["dataset=folder", f"dataset.root='{pictures}'", f"dataset.validation_root='{held_out}'"]
    fixed = [
        "model=nano_klein",
        *data,
        "trainer=smoke",
        "logger=none",
        "batch_size=1",
        "micro_batch_size=1",
        "steps=2",
    ]
    recipe_values = {"optimizer.lr": 3e-3, "adapter.rank": 16, "optimizer": "adamw"}
    settings = {"overrides": fixed, "lengths": None, "recipe": recipe_values}
    made = empty_study(storage=f"sqlite:///{here / 'study.db'}", **settings)
    recipe = asked(made, lr=3e-3, rank=16, **{attrs.TAG: attrs.RECIPE, attrs.OVERRIDES: []})
    finish(made, recipe, [0.9], length=None)
    best = asked(made, lr=2e-3, rank=8, **{attrs.OVERRIDES: ["optimizer.lr=0.002", "adapter.rank=8"]})
    finish(made, best, [0.7], length=None)
    losses = {("recipe", 1000): 0.9, ("recipe", 1001): 0.91, ("trial_0001", 1001): 0.8}
    for (arm, seed), loss in losses.items():
        folder = here / "confirm" / arm / f"seed_{seed}"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({"status": "finished", "validation": [[2, loss]]}))

    for _ in range(2):
        confirm.main(["bowl", "seeds=2", "evaluation=none"])

    ran = here / "confirm" / "trial_0001" / "seed_1000"
    told = json.loads((here / "confirm.json").read_text())
    result = json.loads((ran / "result.json").read_text())
    assert result["status"] == "finished" and result["steps"] == 2 and result["seed"] == 1000
    assert told["values"]["validation_loss"]["trial_0001"]["1000"] == result["validation"][-1][1]
    assert told["optimism"][1]["searched"] == 0.7
    assert (ran / "console.log").read_text().count("run folder:") == 1
    assert "no difference that 2 seeds can tell" in capsys.readouterr().out
    assert (here / "confirm.md").is_file() and (here / "confirm.png").is_file()


@pytest.fixture
def served(here: Path, database: Path) -> Iterator[str]:
    """The address of a dashboard over study `bowl`."""
    shutil.copy(database, here)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "loralab", "dashboard", "bowl", f"port={port}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert f"http://127.0.0.1:{port}/dashboard/studies/1" in process.stderr.readline()
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 0


def test_the_dashboard_shows_the_study_and_ends_quietly(served: str) -> None:
    page = fetched(f"{served}/dashboard/")
    studies = json.loads(fetched(f"{served}/api/studies"))

    assert "<html" in page.lower()
    assert [each["study_name"] for each in studies["study_summaries"]] == ["bowl"]


def test_a_port_that_is_taken_or_none_is_refused(here: Path, database: Path) -> None:
    shutil.copy(database, here)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        with pytest.raises(UserError, match="cannot be used"):
            dashboard.main(["bowl", f"port={taken.getsockname()[1]}"])
    with pytest.raises(UserError, match="port=70000 is above 65535"):
        dashboard.main(["bowl", "port=70000"])


def fetched(address: str) -> str:
    for _ in range(100):
        try:
            with urllib.request.urlopen(address) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{address} does not answer")
