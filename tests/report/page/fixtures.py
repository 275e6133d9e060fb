"""Studies, runs and ablations as they lie on a disk, with pictures and captions that mean to break a page."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna import Study
from PIL import Image
from tests.report.study.studies import filled_study

from loralab.evaluation.previews import write_preview
from loralab.loggers import JsonlLogger
from loralab.report.ablation import AblationRecord
from loralab.report.ablation.analysis import compared, summarised
from loralab.report.ablation.record import FAILED, FINISHED, PLANNED, RunRecord
from loralab.report.ablation.recording import planned_ablation
from loralab.study import attrs, open_storage, storage_url
from loralab.study.ablation import cells_of, read_ablation

EVIL = '<img src=x onerror="document.title=\'broken\'"> </script><script>document.title="broken"</script>'
PROMPTS = (EVIL, 'a snail & "its" Häuschen 🐌', "a red fox")
LEVELS = ("0.10", "0.50", "0.90")
SEEDS = (0, 1, 2, 3, 4, 5)
METRICS = {"style.pixel.adapter": "minimize", "validation_loss": "minimize"}


def leave_run(
    folder: Path, *, seed: int = 0, shift: float = 0.0, side: int = 32, seeds: tuple[int, ...] = (0, 1)
) -> Path:
    """Leaves what a finished run leaves: metrics per noise level, previews, settings, environment."""
    source = random.Random(f"{seed} {shift}")
    columns = {
        name: tuple(_picture(source, side) for _ in range(len(PROMPTS) * len(seeds)))
        for name in ("base", "adapter", "truth")
    }
    write_preview(folder / "previews", columns, prompts=PROMPTS, seeds=seeds)
    logger = JsonlLogger(folder / "metrics.jsonl")
    for step in range(0, 121, 20):
        by_level = {f"validation/loss_sigma_{level}": _loss(step, source) + shift for level in LEVELS}
        mean = {"validation/loss": sum(by_level.values()) / len(by_level)}
        logger.log_metrics({"train/loss": _loss(step, source) + shift, **by_level, **mean}, step=step)
    (folder / "config.yaml").write_text("steps: 120\nmodel:\n  name: nano_klein\n")
    (folder / "overrides.yaml").write_text("- steps=120\n")
    (folder / "environment.json").write_text(json.dumps({"python": "3.11", "device": "cpu"}))
    (folder / "result.json").write_text(json.dumps({"status": "finished", "steps": 120}))
    return folder


def _loss(step: int, source: random.Random) -> float:
    return 0.4 + 0.6 / (1 + step / 20) + source.gauss(0, 0.01)


def _picture(source: random.Random, side: int) -> Image.Image:
    """Gives a flat picture where it is small, and one that hardly compresses, as a photograph, where it is large."""
    if side > 64:
        return Image.effect_noise((side, side), source.uniform(40, 80))
    picture = Image.new(
        "RGB", (side, side), (source.randrange(256), source.randrange(256), source.randrange(256))
    )
    picture.paste((255, 255, 255), (side // 4, side // 4, side // 2, side // 2))
    return picture


def stored_study(root: Path, num_trials: int, *, num_runs: int, side: int, name: str = "bowl") -> Study:
    """Makes a study in a SQLite file, as a sweep does, with the folders of the recipe's and its best trials' runs."""
    folder = root / name
    study = filled_study(num_trials - 1, name=name, storage=open_storage(storage_url(None, folder=folder)))
    _leave_best(study, folder, num_runs=num_runs, side=side)
    return study


def memory_study(folder: Path, num_trials: int = 31) -> Study:
    """Makes a study that is quick to make, with the folders of the recipe's and its two best trials' runs."""
    study = filled_study(num_trials - 1)
    _leave_best(study, folder, num_runs=2, side=32)
    return study


def _leave_best(study: Study, folder: Path, *, num_runs: int, side: int) -> None:
    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    ran = [trial for trial in done if attrs.CURVE in trial.user_attrs]
    best = sorted(ran[1:], key=lambda trial: trial.values[0])
    for trial in [ran[0], *best[:num_runs]]:
        leave_run(folder / "trials" / f"{trial.number:04d}", seed=trial.number, side=side)


RANKS = {name: [f"adapter.rank={name}"] for name in ("4", "16", "64")}
RATES = {"x1": ["optimizer.lr=3e-3"], "x3": ["optimizer.lr=9e-3"]}
DEFINITION = {
    "title": "Rank and rate <b>",
    "question": "Does a higher rank learn more?",
    "overrides": ["model=nano_klein"],
    "factors": {"rank": {"baseline": "16", "levels": RANKS}, "rate": {"baseline": "x1", "levels": RATES}},
    "design": "one_at_a_time",
    "seeds": list(SEEDS),
    "metrics": METRICS,
}


def ablation_record(
    folder: Path | None = None, *, shifts: Mapping[str, float] | None = None
) -> AblationRecord:
    """Makes an ablation of rank and rate over six seeds, one run of it failed; the runs lie in `folder`."""
    ablation = read_ablation(DEFINITION, name="rank")
    cells = cells_of(ablation)
    moved = shifts or {"rank=4": 0.1, "rank=64": -0.1, "rate=x3": 0.0}
    empty = planned_ablation(ablation)
    runs = [_run(run, index, moved.get(run.cell, 0.0), folder) for index, run in enumerate(empty.runs)]
    summaries = summarised(runs, cells=cells, metrics=METRICS)
    comparisons, families = compared(summaries, cells=cells, metrics=METRICS, alpha=0.05)
    return dataclasses.replace(
        empty,
        runs=tuple(runs),
        summaries=tuple(summaries),
        comparisons=tuple(comparisons),
        families=tuple(families),
    )


def _run(run: RunRecord, index: int, shift: float, folder: Path | None) -> RunRecord:
    assert run.purpose == PLANNED
    if index == 7:
        return dataclasses.replace(
            run, status=FAILED, reason="OutOfMemoryError: CUDA out of memory", num_attempts=2
        )
    source = random.Random(index)
    value = 0.5 + shift + 0.02 * run.seed + source.gauss(0, 0.01)
    where = f"trials/{index:04d}"
    if folder is not None:
        leave_run(folder / where, seed=run.seed, shift=shift, side=16, seeds=(0,))
    bands = {f"validation_bands.{level}.120": value for level in LEVELS}
    return dataclasses.replace(
        run, status=FINISHED, folder=where, metrics=dict.fromkeys(METRICS, value) | bands, num_attempts=1,
        curve=((0, 1.0 + shift), (60, 0.7 + shift), (120, value)), wall_time_s=30.0 + index, peak_memory_gib=1.5,
    )  # fmt: skip


def data_of(text: str) -> Any:
    """Gives the figures inside a page's text, as a browser finds them."""
    start = text.index(">", text.index('<script type="application/json"')) + 1
    return json.loads(text[start : text.index("</script>", start)])
