from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image
from scipy.stats import ttest_rel
from tests.report.study.studies import asked, empty_study, filled_study, finish

from loralab.errors import UserError
from loralab.report.study import recorded
from loralab.report.study.confirm import (
    Run,
    arms_of,
    confirm_sections,
    confirmed,
    require_same,
    run_all,
    runs,
    write_confirmed,
)
from loralab.report.study.confirm.comparison import compare, sign_flip_p
from loralab.report.study.printing import plain
from loralab.study import attrs

SEEDS = (1000, 1001, 1002, 1003, 1004)
NOISE = (0.02, -0.01, 0.03, 0.0, -0.02)
TRAINER = """
import json, os, pathlib, sys, time
known = dict(argument.split("=", 1) for argument in sys.argv[1:])
folder = pathlib.Path(known["hydra.run.dir"])
with (folder / "starts").open("a") as file:
    file.write("resumed\\n" if "run.resume" in known else "begun\\n")
(folder / "gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "any"))
(folder / "overrides.yaml").write_text(json.dumps([f"seed={known['seed']}", f"wait={known['wait']}"]))
time.sleep(float(known["wait"]))
if known["wait"] == "0.01":
    sys.exit("it broke")
(folder / "result.json").write_text(json.dumps({"status": "finished"}))
"""
"""Does what train.py does as far as its caller can see."""

CALLER = """
import importlib.util, json, pathlib, sys
spec = importlib.util.spec_from_file_location("runs", sys.argv[1])
runs = sys.modules["runs"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runs)
known = json.loads(sys.argv[2])
runs.run_all([runs.Run(**{**known, "folder": pathlib.Path(known["folder"])})], num_workers=1)
"""
"""Another process that calls `run_all`; the package around it would take seconds to import."""


def by_seed(level: float, *, spread: float = 1.0) -> dict[int, float]:
    return {seed: level + spread * noise for seed, noise in zip(SEEDS, NOISE, strict=True)}


def jittered(level: float) -> dict[int, float]:
    return {seed: value + 0.001 * (seed % 3) for seed, value in by_seed(level).items()}


def stub_run(folder: Path, *, seed: int = 1, wait: float = 0.0) -> Run:
    program = folder.parent / "trainer.py"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(TRAINER)
    return Run(
        title=f"seed {seed}",
        folder=folder,
        program=(sys.executable, str(program)),
        overrides=(f"seed={seed}", f"wait={wait:g}"),
        placing=f"hydra.run.dir={folder}",
        resuming=f"run.resume={folder}",
    )


def starts(folder: Path) -> list[str]:
    return (folder / "starts").read_text().split()


def result(folder: Path, *, loss: float, pixel: float) -> Path:
    folder.mkdir(parents=True)
    style = {"pixel": {"adapter": pixel}, "feature": {"adapter": 2 * pixel}}
    told = {"status": "finished", "validation": [[0, 1.0], [80, loss]], "style": style}
    (folder / "result.json").write_text(json.dumps(told))
    return folder


def test_the_interval_is_students_over_paired_differences() -> None:
    arm, recipe = jittered(0.30), by_seed(0.31)

    found = compare(arm, recipe, name="trial_0001", metric="validation_loss", is_maximized=False)

    expected = ttest_rel(list(arm.values()), list(recipe.values())).confidence_interval(0.95)
    assert found is not None
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(expected))
    assert found.difference.value == pytest.approx(found.mean - found.recipe)


@pytest.mark.parametrize(
    ("level", "is_maximized", "verdict"),
    [
        (0.30, False, "beats the recipe"),
        (0.30, True, "is worse than the recipe"),
        (0.33, False, "is worse than the recipe"),
        (0.33, True, "beats the recipe"),
    ],
)
def test_a_difference_that_all_seeds_share_is_a_verdict(
    level: float, is_maximized: bool, verdict: str
) -> None:
    found = compare(jittered(level), by_seed(0.31), name="x", metric="m", is_maximized=is_maximized)

    assert found is not None and found.verdict == verdict


def test_a_difference_that_seeds_do_not_share_is_none() -> None:
    arm = dict(zip(SEEDS, (0.1, 0.5, 0.2, 0.4, 0.3), strict=True))

    found = compare(arm, by_seed(0.31), name="x", metric="m", is_maximized=False)

    assert found is not None and found.verdict == "no difference that 5 seeds can tell"


def test_pairing_sees_what_the_spread_over_seeds_would_hide() -> None:
    arm, recipe = {s: v - 0.005 for s, v in by_seed(0.3, spread=10).items()}, by_seed(0.3, spread=10)

    found = compare(arm, recipe, name="x", metric="m", is_maximized=False)

    assert found is not None and found.verdict == "beats the recipe"


def test_five_seeds_cannot_give_a_p_below_a_sixteenth() -> None:
    found = compare(jittered(0.1), by_seed(0.9), name="x", metric="m", is_maximized=False)

    assert found is not None
    assert found.p == found.least_p == 0.0625
    assert sign_flip_p([-1.0] * 6) == 2 / 64
    assert sign_flip_p([0.0] * 5) == 1.0


def test_only_seeds_that_both_arms_finished_count() -> None:
    arm = {1000: 0.1, 1001: 0.2, 1005: 9.0}

    found = compare(arm, by_seed(0.3), name="x", metric="m", is_maximized=False)

    assert found is not None and found.seeds == (1000, 1001)
    assert compare({1000: 0.1}, by_seed(0.3), name="x", metric="m", is_maximized=False) is None


def test_the_arms_are_the_recipe_and_the_best_that_are_not_it() -> None:
    record = recorded(filled_study())

    arms = arms_of(record, num_best=2)

    assert [arm.name for arm in arms] == ["recipe", "trial_0015", "trial_0012"]
    assert "steps=120" in arms[0].overrides and "steps=80" in arms[1].overrides
    assert arms[1].searched["validation_loss"] == record.rows[15].values[0]  # type: ignore[index]
    assert arms[0].searched["validation_loss"] == dict(record.rows[0].curve)[120]


def test_a_study_whose_best_is_the_recipe_has_nothing_to_confirm() -> None:
    study = empty_study()
    finish(study, asked(study, lr=3e-3, rank=16, **{attrs.TAG: attrs.RECIPE}), [0.3], length=120)

    with pytest.raises(UserError, match="nothing to confirm: its best, trial 0, is the recipe itself"):
        arms_of(recorded(study), num_best=1)


def test_the_recipe_at_another_length_is_worth_confirming() -> None:
    study = empty_study()
    finish(study, asked(study, lr=3e-3, rank=16, **{attrs.TAG: attrs.RECIPE}), [0.3], length=80)

    assert "steps=80" in arms_of(recorded(study), num_best=1)[1].overrides


def test_runs_are_compared_metric_by_metric_and_optimism_is_told(tmp_path: Path) -> None:
    record = recorded(filled_study())
    arms = arms_of(record, num_best=1)
    searched = arms[1].searched["validation_loss"]
    folders: Mapping[str, Mapping[int, Path]] = {
        arm.name: {
            seed: result(tmp_path / arm.name / str(seed), loss=level + noise, pixel=0.5 - level + noise**2)
            for seed, noise in zip(SEEDS, NOISE, strict=True)
        }
        for arm, level in zip(arms, (0.3, searched + 0.01), strict=True)
    }
    directions = {"validation_loss": "minimize", "style.pixel.adapter": "minimize", "absent": "minimize"}

    found = confirmed("bowl", arms, folders, directions=directions)
    written = write_confirmed(found, tmp_path)

    assert list(found.values) == ["validation_loss", "style.pixel.adapter"]
    verdicts = {each.metric: each.verdict for each in found.comparisons}
    assert verdicts["validation_loss"] == "beats the recipe"
    assert verdicts["style.pixel.adapter"] == "is worse than the recipe"
    gaps = {each.arm: each.gap for each in found.optimism}
    assert gaps["trial_0015"] == pytest.approx(0.01 + sum(NOISE) / 5)
    text = plain(confirm_sections(found))
    assert "validation loss at the end, trial 15: beats the recipe" in text
    assert "cannot give a p below 0.0625" in text
    assert "Search optimism" in text and "python train.py model=nano_klein" in text
    assert [path.name for path in written] == ["confirm.json", "confirm.md", "confirm.png"]
    assert json.loads(written[0].read_text())["comparisons"][0]["verdict"] == "beats the recipe"
    assert "| trial 15 | 5 |" in written[1].read_text()
    with Image.open(written[2]) as picture:
        assert min(picture.size) > 300


def test_a_metric_that_no_run_has_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    arms = arms_of(recorded(filled_study()), num_best=1)
    folders = {arm.name: {1: result(tmp_path / arm.name, loss=0.3, pixel=0.1)} for arm in arms}

    with pytest.raises(
        UserError, match=r"no run has style\.pixle; metric= may be one of .*style\.pixel\.adapter"
    ):
        confirmed("bowl", arms, folders, directions={"style.pixle": "minimize"})


def test_what_is_finished_is_not_run_again_and_what_failed_is(tmp_path: Path) -> None:
    good, bad = stub_run(tmp_path / "a", seed=1), stub_run(tmp_path / "b", seed=2, wait=0.01)

    first = run_all([good, bad], num_workers=2)
    second = run_all([good, bad], num_workers=1)

    assert len(first) == len(second) == 1
    assert "seed 2 failed with exit status 1" in first[0] and "it broke" in first[0]
    assert starts(good.folder) == ["begun"]
    assert starts(bad.folder) == ["begun", "begun"]


def test_a_run_that_left_a_checkpoint_goes_on_from_it(tmp_path: Path) -> None:
    run = stub_run(tmp_path / "a")
    run.folder.mkdir(parents=True)
    (run.folder / "checkpoint.ckpt").touch()

    run_all([run], num_workers=1)

    assert starts(run.folder) == ["resumed"]


def test_no_more_runs_at_a_time_than_workers(tmp_path: Path) -> None:
    waits = [stub_run(tmp_path / str(seed), seed=seed, wait=0.3) for seed in range(3)]

    begin = time.monotonic()
    run_all(waits, num_workers=1)

    assert time.monotonic() - begin > 3 * 0.3


def test_runs_at_the_same_time_see_different_gpus(tmp_path: Path) -> None:
    pair = [stub_run(tmp_path / str(seed), seed=seed, wait=0.3) for seed in range(2)]

    run_all(pair, num_workers=2, gpus=(4, 6))

    assert {(run.folder / "gpu").read_text() for run in pair} == {"4", "6"}


def test_a_killed_command_leaves_runs_that_the_next_one_waits_for(tmp_path: Path) -> None:
    run = stub_run(tmp_path / "a", wait=1)
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, runs.__file__, json.dumps(dataclasses.asdict(run), default=str)]
    )
    while not (run.folder / "starts").is_file():
        time.sleep(0.02)
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()

    problems = run_all([run], num_workers=1)

    assert problems == []
    assert starts(run.folder) == ["begun"]


def test_a_command_that_is_interrupted_stops_its_runs(tmp_path: Path) -> None:
    run = stub_run(tmp_path / "a", wait=60)
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, runs.__file__, json.dumps(dataclasses.asdict(run), default=str)]
    )
    while not (run.folder / "starts").is_file():
        time.sleep(0.02)

    os.kill(caller.pid, signal.SIGINT)

    assert caller.wait(10) != 0
    with (run.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_folder_with_a_run_of_another_line_is_refused(tmp_path: Path) -> None:
    run_all([stub_run(tmp_path / "a", seed=1)], num_workers=1)

    require_same([stub_run(tmp_path / "a", seed=1)])
    with pytest.raises(UserError, match=r"holds a run of another line .*seed=1.*seed=2.*\n.*folder="):
        require_same([stub_run(tmp_path / "a", seed=2)])
