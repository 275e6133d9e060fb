"""`python -m loralab confirm <name>`: does the best of a study beat the recipe? Both again, over fresh seeds.

    num_best=1          how many of the best trials, each against the recipe
    seeds=5             how many seeds, the same for all; first_seed=1000 is the first of them
    metric=<path>       one figure of result.json instead of the validation loss and the style distances
    direction=minimize  whether less of that figure is better, or maximize
    num_workers=1       runs at a time
    gpus=0,1            each run sees one of these; one run at a time on each unless num_workers says more
    folder=confirm      below the study's folder: the runs, and the names of the files that say what came out
    storage=<url>       where the study is, unless it is in its own folder

All else is given to train.py, as evaluation=full; evaluation=preview unless another is typed. Finished runs are not run
again, so the same command goes on after any interruption.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loralab.cli.arguments import named, numbers, split, whole
from loralab.cli.compose import composed_run
from loralab.config import CONF, check, quoted
from loralab.errors import UserError

if TYPE_CHECKING:
    from loralab.report.study import StudyRecord
    from loralab.report.study.confirm import Arm, Run

log = logging.getLogger("loralab")
KEYS = (
    "name",
    "storage",
    "num_best",
    "seeds",
    "first_seed",
    "metric",
    "direction",
    "num_workers",
    "gpus",
    "folder",
)
DIRECTIONS = ("minimize", "maximize")
FEWEST_SEEDS = 2


def main(arguments: Sequence[str]) -> None:
    """Runs what is missing, then says what all runs say."""
    from loralab.report.study import recorded, show
    from loralab.report.study.confirm import (
        arms_of,
        confirm_sections,
        confirmed,
        require_same,
        run_all,
        write_confirmed,
    )
    from loralab.study import load
    from loralab.study.settings import STUDIES

    found, passed = split(arguments, known=KEYS)
    found = named(found, command="confirm")
    gpus, name = numbers(found, "gpus"), found.get("folder", "confirm")
    num_workers = whole(found, "num_workers", default=max(len(gpus), 1))
    record = recorded(load(found["name"], storage=found.get("storage")))
    directions, seeds = _directions(record, found), _seeds(record, found)
    arms, folder = arms_of(record, num_best=whole(found, "num_best", default=1)), STUDIES / record.name
    runs = _runs(record, arms, seeds=seeds, passed=passed, folder=(folder / name).absolute())
    require_same([run for each in runs.values() for run in each.values()])
    in_pairs = [runs[arm.name][seed] for seed in seeds for arm in arms]
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        problems = run_all(in_pairs, num_workers=num_workers, gpus=gpus)
    except KeyboardInterrupt:
        log.warning("stopped; the same command goes on")
        sys.exit(130)
    folders = {arm: {seed: run.folder for seed, run in each.items()} for arm, each in runs.items()}
    result = confirmed(record.name, arms, folders, directions=directions, problems=problems)
    show(confirm_sections(result))
    log.info("\nwritten: %s", ", ".join(map(str, write_confirmed(result, folder, name=name))))


def _directions(record: StudyRecord, found: Mapping[str, str]) -> dict[str, str]:
    """Gives the metrics to compare: the one that is asked for, else the usual ones and the study's own."""
    from loralab.report.study.confirm import DEFAULT_METRICS

    typed = found.get("direction")
    if typed is not None and (typed not in DIRECTIONS or "metric" not in found):
        raise UserError(f"direction={typed} must be minimize or maximize, and belongs to metric=<path>")
    known = dict(record.objectives)
    if "metric" in found:
        return {found["metric"]: typed or known.get(found["metric"], "minimize")}
    return {metric: known.get(metric, "minimize") for metric in dict.fromkeys((*DEFAULT_METRICS, *known))}


def _seeds(record: StudyRecord, found: Mapping[str, str]) -> list[int]:
    """Gives seeds that the search has not seen."""
    first = whole(found, "first_seed", default=1000, least=0)
    seeds = list(range(first, first + whole(found, "seeds", default=5, least=FEWEST_SEEDS)))
    lines = [*record.settings["overrides"], *(each for row in record.rows for each in row.overrides)]
    seen = {line.partition("=")[2] for line in lines if line.startswith("seed=")} or {"0"}
    if known := sorted(seen & set(map(str, seeds))):
        raise UserError(
            f"seeds={len(seeds)} from first_seed={first}: the search has used seed {known[0]}; type another first_seed"
        )
    return seeds


def _runs(
    record: StudyRecord, arms: Sequence[Arm], *, seeds: Sequence[int], passed: Sequence[str], folder: Path
) -> dict[str, dict[int, Run]]:
    """Gives the runs by arm and seed; every line is composed and checked before any is run."""
    from loralab.report.study.lines import merged

    program = CONF.parent / "train.py"
    if not program.is_file():
        raise UserError(f"confirm runs train.py, which is not at {program}; use a checkout of the project")
    title = f"name={quoted(f'{record.name}-confirm')}"
    runs = {}
    for arm in arms:
        line = merged([*arm.overrides, "evaluation=preview", *passed, title])
        check(composed_run(line))
        runs[arm.name] = {seed: _run(arm, line, seed=seed, folder=folder, program=program) for seed in seeds}
    return runs


def _run(arm: Arm, line: Sequence[str], *, seed: int, folder: Path, program: Path) -> Run:
    from loralab.report.study.confirm import Run
    from loralab.report.study.lines import merged

    where = folder / arm.name / f"seed_{seed}"
    return Run(
        title=f"{arm.title}, seed {seed}",
        folder=where,
        program=(sys.executable, str(program)),
        overrides=tuple(merged([*line, f"seed={seed}"])),
        placing=f"hydra.run.dir={quoted(str(where))}",
        resuming=f"run.resume={quoted(str(where))}",
    )
