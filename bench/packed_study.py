"""What a study costs packed and one trial after another, on this machine's CPU: wall time, processor time and scores.

    python bench/packed_study.py --out docs/packed_study.json        # the README's study
    python bench/packed_study.py --trials 4 study.pruner=none study.sampler=random run.validate_every=20 steps=20

Both sweeps are `python train.py -m sweep=nano_klein` in a folder of their own with one cache of encoded pictures, which
is filled before. Processor time is what counts on a machine that others use. Random draws are the same in both sweeps;
a sampler that learns draws otherwise when it knows fewer results.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from loralab.study import load  # noqa: E402  found through the line above


def main() -> None:
    """Runs both sweeps and prints what they cost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--pack", default="auto")
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("overrides", nargs="*", help="of the study, the same for both")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    shared = [f"study.num_trials={arguments.trials}", f"cache_root={folder}/cache", *arguments.overrides]
    _run(folder, ["train.py", "evaluation=none", "steps=1", f"cache_root={folder}/cache", "logger=none"])
    rows = {
        "one after another": _study(folder, "alone", shared),
        "packed": _study(
            folder, "packed", [*shared, "hydra/launcher=packed", f"hydra.launcher.pack={arguments.pack}"]
        ),
    }
    for name, row in rows.items():
        print(f"{name}: {row['wall_s']:.0f} s, processor {row['cpu_s']:.0f} s, best {row['best']:.5f}")
    alone, packed = rows.values()
    for what in ("wall_s", "cpu_s"):
        print(f"{what}: {alone[what] / packed[what]:.2f} times as fast packed")
    off = [
        abs(packed["scores"][point] - score)
        for point, score in alone["scores"].items()
        if point in packed["scores"]
    ]
    print(f"{len(off)} points in both, scores at most {max(off, default=0):.1e} apart")
    if arguments.out:
        arguments.out.write_text(json.dumps({"overrides": arguments.overrides, **rows}, indent=1) + "\n")


def _study(folder: Path, name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Runs a study to its end; gives what it cost and its scores by point."""
    before, started = _cpu_s(), time.monotonic()
    _run(folder, ["train.py", "-m", "sweep=nano_klein", f"study.name={name}", "logger=none", *overrides])
    study = load(name, root=folder / "outputs/studies")
    scores = {
        json.dumps(trial.params, sort_keys=True): trial.value
        for trial in study.trials
        if trial.value is not None
    }
    wall, cpu = time.monotonic() - started, _cpu_s() - before
    states = [trial.state.name.lower() for trial in study.trials]
    return {"wall_s": wall, "cpu_s": cpu, "best": min(scores.values()), "scores": scores, "states": states}


def _run(folder: Path, command: Sequence[str]) -> None:
    program = [sys.executable, str(ROOT / command[0]), *command[1:]]
    env = {
        **os.environ,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0)))),
    }
    with (folder / "said").open("ab") as said:
        subprocess.run(program, cwd=folder, env=env, stdout=said, stderr=said, check=True)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
