"""From an ablation's study and its run folders to the record: every planned run is in it, whatever became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from loralab.errors import UserError
from loralab.report.ablation import record as kept
from loralab.report.ablation.analysis import analysed, compared, summarised
from loralab.report.ablation.claim import judged
from loralab.report.ablation.origin import origin_of, planned_origin
from loralab.report.study import lines, recorded
from loralab.report.study.confirm.confirmed import TITLES
from loralab.report.study.record import FAILED, FINISHED, INFEASIBLE, PRUNED, RUNNING, Row
from loralab.study import load
from loralab.study.ablation import Ablation, Cell, cells_of, fraction_of
from loralab.study.outcome import ABANDONED, INTERRUPTED, LOST

STATUSES = {
    FINISHED: kept.FINISHED,
    INFEASIBLE: kept.INFEASIBLE,
    PRUNED: kept.INFEASIBLE,
    RUNNING: kept.RUNNING,
}
GOES_ON = (INTERRUPTED, LOST, ABANDONED)
"""Ends that say nothing of a run: the ablation's command takes it up again."""
LONGEST_REASON = 300


def recorded_ablation(folder: Path, *, storage: str | None = None) -> kept.AblationRecord:
    """Reads an ablation and does its statistics.

    Args:
        folder: the ablation's.
        storage: where its study is, unless it is in the folder.

    Raises:
        UserError: where there is no ablation.
    """
    from pydantic import TypeAdapter

    study = recorded(load(folder.name, root=folder.parent, storage=storage))
    if "ablation" not in study.settings:
        raise UserError(
            f"{folder} holds a search and no ablation; python -m loralab study {folder.name} shows it"
        )
    ablation = TypeAdapter(Ablation).validate_python(study.settings["ablation"]["definition"])
    cells = cells_of(ablation)
    return _record(
        ablation,
        name=study.name,
        model=str(study.settings["model"]),
        runs=_runs(study.rows, ablation, cells=cells, folder=folder),
        origin=partial(origin_of, study, ablation, folder=folder, storage=storage),
    )


def planned_ablation(ablation: Ablation) -> kept.AblationRecord:
    """Gives the record of an ablation of which nothing was run."""
    models = [line.partition("=")[2] for line in ablation.overrides if line.startswith("model=")]
    runs = _runs((), ablation, cells=cells_of(ablation), folder=Path())
    origin = partial(planned_origin, ablation)
    return _record(ablation, name=ablation.name, model=(models or [""])[-1], runs=runs, origin=origin)


def _record(
    ablation: Ablation,
    *,
    name: str,
    model: str,
    runs: Sequence[kept.RunRecord],
    origin: Callable[..., kept.Origin],
) -> kept.AblationRecord:
    """Does the statistics."""
    cells = cells_of(ablation)
    summaries = summarised(runs, cells=cells, metrics=ablation.metrics)
    comparisons, families = compared(summaries, cells=cells, metrics=ablation.metrics, alpha=ablation.alpha)
    fraction = fraction_of(ablation) if ablation.design == "fractional" else None
    return kept.AblationRecord(
        name=name,
        title=ablation.title,
        question=ablation.question,
        model=model,
        overrides=tuple(lines.merged(ablation.overrides)),
        design=ablation.design,
        resolution=fraction.resolution if fraction else None,
        aliases=fraction.aliases if fraction else (),
        factors=tuple(_factor(each.name, each.baseline, each.levels) for each in ablation.factors),
        cells=tuple(
            kept.Cell(cell.name, dict(cell.levels), cell.overrides, cell is cells[0]) for cell in cells
        ),
        seeds=ablation.seeds,
        confirmation_seeds=ablation.confirm.seeds,
        metrics=tuple(kept.Metric(key, way, _title(key)) for key, way in ablation.metrics.items()),
        alpha=ablation.alpha,
        runs=tuple(runs),
        summaries=tuple(summaries),
        comparisons=tuple(comparisons),
        families=tuple(families),
        analyses=tuple(analysed(ablation, runs, cells=cells, fraction=fraction)),
        claim=judged(ablation, summaries) if ablation.claim else None,
        num_hours=sum(run.wall_time_s or 0.0 for run in runs) / 3600,
        budget_hours=ablation.max_hours,
        origin=origin(runs=runs),
    )


def _runs(
    rows: Sequence[Row], ablation: Ablation, *, cells: Sequence[Cell], folder: Path
) -> list[kept.RunRecord]:
    planned = [(kept.PLANNED, cell, seed) for cell in cells for seed in ablation.seeds]
    again = [cell for cell in cells if cell is cells[0] or cell.name in ablation.confirm.cells]
    fresh = [(kept.CONFIRMATION, cell, seed) for cell in again for seed in ablation.confirm.seeds]
    return [
        _run(rows, ablation, cell, seed=seed, purpose=purpose, folder=folder)
        for purpose, cell, seed in planned + fresh
    ]


def _run(
    attempts: Sequence[Row], ablation: Ablation, cell: Cell, *, seed: int, purpose: str, folder: Path
) -> kept.RunRecord:
    """Gives what became of a run: the attempt that finished, else the last one."""
    rows = [row for row in attempts if row.params == {"cell": cell.number, "seed": seed}]
    row = next((row for row in rows if row.state == FINISHED), rows[-1] if rows else None)
    typed = [*ablation.overrides, *cell.overrides, f"seed={seed}"]
    status, reason = _status(row)
    cost: Mapping[str, float] = row.cost if row else {}
    return kept.RunRecord(
        cell=cell.name,
        seed=seed,
        purpose=purpose,
        status=status,
        reason=reason,
        folder=_inside(row.folder, folder) if row and row.folder else None,
        command=lines.command(lines.merged(typed)),
        metrics=dict(row.metrics) if row and status == kept.FINISHED else {},
        curve=row.curve if row else (),
        wall_time_s=cost.get("wall_time_s"),
        peak_memory_gib=cost.get("peak_memory_gib"),
        num_attempts=len(rows),
    )


def _status(row: Row | None) -> tuple[str, str]:
    if row is None:
        return kept.NOT_RUN, ""
    if row.state == FAILED and row.error.startswith(GOES_ON):
        return kept.NOT_RUN, row.error[:LONGEST_REASON]
    status = STATUSES.get(row.state, kept.FAILED)
    limits = ", ".join(f"beyond its limit of {name}" for name in row.excess)
    reason = "" if status == kept.FINISHED else row.error or limits
    return status, reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]} ..."


def _inside(path: str, folder: Path) -> str:
    """Gives a run's folder relative to the ablation's, also where all was moved since."""
    parts = Path(path).parts
    place = max((index for index, part in enumerate(parts) if part == folder.name), default=-1)
    return Path(*parts[place + 1 :]).as_posix()


def _factor(name: str, baseline: str, levels: Mapping[str, Any]) -> kept.Factor:
    return kept.Factor(
        name, baseline, tuple(kept.Level(level, tuple(each)) for level, each in levels.items())
    )


def _title(metric: str) -> str:
    return METRIC_TITLES.get(metric, metric)


METRIC_TITLES: Mapping[str, str] = {
    **TITLES,
    "fewstep.frechet": "Fréchet distance at few steps",
    "fewstep.frechet_32": "Fréchet distance at 32 steps",
    "fewstep.nfe_gap": "few steps over 32 (1 is as good)",
    "fewstep.sharpness": "sharpness, of the untouched checkpoint's",
    "fewstep.recall": "recall, share of true pictures that are covered",
    "fewstep.accuracy": "share told from pictures without the trigger",
    "fewstep.drift": "drift of pictures without the trigger",
    "fewstep.prior_frechet": "Fréchet distance without the trigger",
    "style.frechet.adapter": "Fréchet distance to the style",
    "style.drift_pixel.ratio": "drift without the trigger, pixels",
    "style.drift_feature.ratio": "drift without the trigger, features",
    "wall_time_s": "seconds",
    "peak_memory_gib": "peak memory, GiB",
}
