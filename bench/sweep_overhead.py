"""Measures what the sweeper costs for each trial, with few and with many trials in the study.

    python bench/sweep_overhead.py --out docs/sweep_overhead.md

Fills a study through its real storage with finished trials as real ones are, then draws, launches nothing, tells and
verifies, as the sweeper and a trial's process do. Needs a PostgreSQL server's programs (Debian: postgresql).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages._cached_storage import _CachedStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.sweeper.postgresql import Server  # noqa: E402

from loralab.study import (  # noqa: E402
    Draws,
    Lease,
    Outcome,
    Plan,
    Scoring,
    Space,
    StudySettings,
    attach,
    attrs,
    open_storage,
    settle,
    storage_url,
    trial_of,
)
from loralab.study.lease import sign_of_life  # noqa: E402
from loralab.study.samplers import build_sampler  # noqa: E402

Result = TypeVar("Result")
SIZES = (10, 1_000, 10_000)
NUM_MEASURED = 15
SPACE = Space(
    {
        "optimizer.lr": FloatDistribution(1e-5, 1e-3, log=True),
        "adapter.rank": CategoricalDistribution([8, 16, 32, 64]),
        "adapter.alpha": FloatDistribution(1.0, 64.0),
    }
)
SCORING = Scoring(objectives={"validation_loss": "minimize"}, constraints={}, lengths=None)
LOSSES = [(step, 1.0 / (1 + step / 500)) for step in range(50, 1001, 50)]
HEAD = f"""# What the sweeper costs
Milliseconds for each trial, beside the trial's own work: medians of {NUM_MEASURED} trials, in two runs of the whole
benchmark (2 CPU cores, which other work shared). The table is repeated by
`python bench/sweep_overhead.py --out docs/sweep_overhead.md`.

- *draw*: deciding what comes next under the study's lock, with the sampler; *Optuna's part of it*: `ask` and the
  suggestions alone, in the same study with the same sampler;
- *book*: the rest of the sweeper's: signs of life, overrides, making sure that the result was told, the progress line;
- *in the trial's process*: opening the storage and taking up the trial; telling the result with 20 points of a curve.

| storage | sampler | finished trials | draw | Optuna's part of it | book | take up | tell |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class Times:
    """Milliseconds of one trial's parts."""

    draw: float
    bare: float
    book: float
    take_up: float
    tell: float


def main() -> None:
    """Measures everything twice and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--storages", nargs="+", default=("sqlite", "journal", "postgresql"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found: dict[tuple[str, str, int], list[Times]] = {}
        for number in range(2):
            for key, times in measured(arguments.storages, arguments.sizes, mark=str(number)):
                found.setdefault(key, []).append(times)
                print(*key, times, flush=True)
        os.chdir(ROOT)
    rows = [f"| {' | '.join((*map(str, key), *_cells(times)))} |" for key, times in found.items()]
    before = arguments.out.read_text(encoding="utf-8") if arguments.out.is_file() else ""
    _, title, other = before.partition("\n## ")  # what bench/sweep_workers.py has written
    arguments.out.write_text(HEAD + "\n".join(rows) + "\n" + title + other, encoding="utf-8")


def measured(storages: list[str], sizes: list[int], *, mark: str) -> Iterator[tuple[Any, Times]]:
    """Yields the times of every storage, sampler and size."""
    for storage in storages:
        server = Server(is_durable=True) if storage == "postgresql" else None
        url = {"sqlite": None, "journal": f"journal:///{mark}.log"}.get(storage)
        settings = StudySettings(
            name=f"s{mark}", storage=server.database("s") if server else url, num_trials=10**9
        )
        url = storage_url(settings.storage, folder=settings.folder)
        study = optuna.create_study(study_name=settings.name, storage=open_storage(url))
        for size in sizes:
            _fill(study, size)
            for sampler in ("random", "tpe"):
                yield (storage, sampler, size), _times(study, url, settings=settings, sampler=sampler)
        if server is not None:
            study._storage._backend.engine.dispose()
            server.remove()


def _fill(study: Study, size: int) -> None:
    """Adds finished trials until there are so many."""
    sampler = build_sampler("random", None, seed=0, number=0)
    source = optuna.create_study(sampler=sampler)
    study.add_trials(
        [_finished(source, number) for number in range(len(study.get_trials(deepcopy=False)), size)]
    )


def _finished(source: Study, number: int) -> FrozenTrial:
    trial = source.ask()
    point = SPACE.suggest(trial)
    loss = 0.1 + abs(point["optimizer.lr"] - 1e-4) + number % 7 / 100
    return create_trial(
        state=TrialState.COMPLETE,
        value=loss,
        params=trial.params,
        distributions=trial.distributions,
        intermediate_values=dict(LOSSES),
        user_attrs={
            attrs.SWEEPER: sign_of_life(),
            attrs.WORKER: sign_of_life(),
            attrs.OVERRIDES: [f"{name}={value}" for name, value in point.items()],
            attrs.FOLDER: str(Path(f"outputs/studies/s/trials/{number:05d}").absolute()),
            attrs.METRICS: {f"metric.{index}": loss for index in range(12)},
            attrs.CURVE: LOSSES,
            attrs.COST: {"wall_time_s": 900.0, "train_s": 800.0, "overhead_s": 100.0},
        },
    )


def _times(study: Study, url: str, *, settings: StudySettings, sampler: str) -> Times:
    settings = StudySettings(**{**vars(settings), "sampler": sampler})
    plan = Plan(space=SPACE, points=[], recipe={}, searches=True)
    draws = Draws(study, settings=settings, url=url, plan=plan, scoring=SCORING)
    lease = Lease(study._storage, key=attrs.SWEEPER, lease_s=60)
    found = [_one(study, draws, lease, settings=settings) for _ in range(NUM_MEASURED)]
    return Times(*(statistics.median(values) for values in zip(*found, strict=True)))


def _one(
    study: Study, draws: Draws, lease: Lease, *, settings: StudySettings
) -> tuple[float, float, float, float, float]:
    """Goes through a trial's life; gives the milliseconds of its parts."""
    bare_ms = _bare(study, settings.sampler)
    draw, draw_ms = _timed(draws.next)
    assert draw is not None
    overrides = [f"{name}={value}" for name, value in draw.point.items()]
    _, before_ms = _timed(
        lambda: (
            draws.is_done(),
            draws.num_orphans(),
            study._storage.set_trial_user_attr(draw.trial_id, attrs.OVERRIDES, overrides),
            lease.add(draw.trial_id),
        )
    )
    worker, take_up_ms = _timed(lambda: attach(draw.number, settings, num_steps=1000))
    assert worker is not None
    told = Outcome(
        kind="scored", metrics={"validation_loss": 0.2}, curve=tuple(LOSSES), cost={"train_s": 900.0}
    )
    _, tell_ms = _timed(lambda: settle(worker._study, draw.number, outcome=told, scoring=SCORING))
    _, after_ms = _timed(
        lambda: (
            settle(study, draw.number, outcome=told, scoring=SCORING),
            trial_of(study, draw.number),
            study.get_trials(deepcopy=False),
        )
    )
    if isinstance(worker._study._storage, _CachedStorage):
        worker._study._storage._backend.engine.dispose()
    return draw_ms, bare_ms, before_ms + after_ms, take_up_ms, tell_ms


def _bare(study: Study, sampler: str) -> float:
    """Draws and tells a trial with Optuna alone; gives the milliseconds of drawing."""
    study.sampler = build_sampler(sampler, None, seed=1, number=len(study.get_trials(deepcopy=False)))

    def drawn() -> Trial:
        trial = study.ask()
        SPACE.suggest(trial)
        return trial

    trial, milliseconds = _timed(drawn)
    study.tell(trial, 0.2)
    return milliseconds


def _timed(action: Callable[[], Result]) -> tuple[Result, float]:
    start = time.perf_counter()
    result = action()
    return result, 1000 * (time.perf_counter() - start)


def _cells(times: list[Times]) -> list[str]:
    names = ("draw", "bare", "book", "take_up", "tell")
    return [" / ".join(f"{vars(run)[name]:.0f}" for run in times) for name in names]


if __name__ == "__main__":
    main()
