"""Runs one study with one worker and with four, and compares the time.

    python bench/sweep_workers.py --out docs/sweep_overhead.md

A trial sleeps for three seconds, as one that keeps a GPU busy and no core; its process is a real one
(tests/sweeper/program.py). The section of the file that `bench/sweep_overhead.py` leaves is written anew.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.sweeper.sweeps import Account, Sweep, account  # noqa: E402

NUM_TRIALS, STEPS, STEP_S = 24, 100, 0.03
TITLE = "\n## Four workers against one\n"
TEXT = f"""{TITLE}
A study of {NUM_TRIALS} trials of {STEPS * STEP_S:.0f} s each that leave the cores alone, as trials on GPUs do. Starting
a trial's process takes a second of a core beside that, four at a time on two cores, which a longer trial hides. The
table is repeated by `python bench/sweep_workers.py --out docs/sweep_overhead.md` (SQLite, TPE, no pruning, 2 CPU cores,
which other work shared).

| run | 1 worker | 4 workers | ratio | finished | duplicate draws | started twice |
| --- | --- | --- | --- | --- | --- | --- |
"""


def main() -> None:
    """Runs both twice and writes the section."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = []
    for number in (1, 2):
        found = {num_workers: _run(num_workers) for num_workers in (1, 4)}
        seconds = [time for time, _ in found.values()]
        held = [account for _, account in found.values()]
        cells = (
            number,
            *(f"{value:.0f} s" for value in seconds),
            f"{seconds[0] / seconds[1]:.2f}",
            " and ".join(str(one.counted) for one in held),
            sum(one.duplicates for one in held),
            sum(one.twice for one in held),
        )
        rows.append(f"| {' | '.join(map(str, cells))} |")
        print(rows[-1], flush=True)
    before = arguments.out.read_text(encoding="utf-8") if arguments.out.is_file() else ""
    text = before.partition(TITLE)[0] + TEXT + "\n".join(rows) + "\n"
    arguments.out.write_text(text, encoding="utf-8")


def _run(num_workers: int) -> tuple[float, Account]:
    """Runs the study; gives its seconds and what it holds."""
    overrides = (
        f"study.num_trials={NUM_TRIALS}",
        f"study.num_workers={num_workers}",
        f"steps={STEPS}",
        "study.pruner=none",
    )
    with tempfile.TemporaryDirectory() as folder:
        sweep = Sweep(Path(folder), overrides, wish={"seconds_per_step": STEP_S})
        start = time.monotonic()
        sweep.run(timeout=600)
        return time.monotonic() - start, account(sweep)


if __name__ == "__main__":
    main()
