"""What pruning and one long trial per setting save: the same settings and lengths with and without them.

    python bench/sweep_savings.py --settings 8 --lengths 60 120 --workers 2 --out docs/sweep_savings.md

The first study prunes and lets each trial's curve score every length. The second runs each of the first one's settings
at each length by itself, to the end. Both on nano_klein, in processes of their own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loralab.study import attrs, load

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Spent:
    """What a study took and found."""

    wall_s: float
    train_s: float
    num_steps: int
    num_runs: int
    best: float
    what: str


def main() -> None:
    """Runs both studies and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--settings", type=int, default=8)
    parser.add_argument("--lengths", type=int, nargs="+", default=[60, 120])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--name", default="savings")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    lengths = ",".join(map(str, arguments.lengths))
    common = [
        "sweep=nano_klein",
        f"steps={lengths}",
        "study.sampler=random",
        f"study.num_workers={arguments.workers}",
    ]
    saving = _ran(f"{arguments.name}-with", [*common, f"study.num_trials={arguments.settings}"])
    points = [trial.params for trial in load(f"{arguments.name}-with").trials]
    single = [{**point, "steps": steps} for point in points for steps in arguments.lengths]
    plain = ["study.lengths=trials", "study.pruner=none", "study.recipe_first=false"]
    enqueued = f"study.enqueue=[{', '.join(map(_text, single))}]"
    plain = _ran(f"{arguments.name}-without", [*common, *plain, enqueued, f"study.num_trials={len(single)}"])
    arguments.out.write_text(_table(saving, plain, arguments), encoding="utf-8")
    print(arguments.out.read_text(encoding="utf-8"))


def _ran(name: str, overrides: list[str]) -> Spent:
    start = time.perf_counter()
    subprocess.run([sys.executable, "train.py", "-m", f"study.name={name}", *overrides], cwd=ROOT, check=True)
    wall = time.perf_counter() - start
    study = load(name)
    runs = [trial for trial in study.trials if attrs.COST in trial.user_attrs]
    best = study.best_trial
    length = best.user_attrs.get(attrs.LENGTH) or best.params["steps"]
    return Spent(
        wall_s=wall,
        train_s=sum(trial.user_attrs[attrs.COST]["train_s"] for trial in runs),
        num_steps=sum(int(trial.user_attrs[attrs.CURVE][-1][0]) for trial in runs),
        num_runs=len(runs),
        best=float(best.values[0]),
        what=f"lr {best.params['optimizer.lr']:.4g}, rank {best.params['adapter.rank']}, {length} steps",
    )


def _text(point: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {value!r}" for key, value in point.items()) + "}"


def _table(saving: Spent, plain: Spent, arguments: argparse.Namespace) -> str:
    lengths = " and ".join(map(str, arguments.lengths))
    rows = [
        ("pruned, lengths from one curve", saving),
        ("each setting at each length, to the end", plain),
    ]
    lines = [
        "# What pruning and one curve for all lengths save",
        f"{arguments.settings} settings of nano_klein (learning rate, rank; drawn at random, the recipe first) at "
        f"{lengths} steps, {arguments.workers} trials at a time on two CPU cores:",
        f"`python bench/sweep_savings.py --settings {arguments.settings} --lengths "
        f"{' '.join(map(str, arguments.lengths))} --workers {arguments.workers} --out docs/sweep_savings.md`.",
        "",
        "| study | runs | steps | training, s | wall time, s | best validation loss | at |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {s.num_runs} | {s.num_steps} | {s.train_s:.0f} | {s.wall_s:.0f} | {s.best:.6f} | {s.what} |"
            for name, s in rows
        ),
        "",
        f"Without over with: {plain.num_steps / saving.num_steps:.2f} times the steps, "
        f"{plain.train_s / saving.train_s:.2f} times the training, "
        f"{plain.wall_s / saving.wall_s:.2f} times the wall time.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
