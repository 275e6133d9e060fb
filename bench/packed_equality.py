"""How far a packed trial ends from the same trial alone, beside how far two runs alone end from each other.

    python bench/packed_equality.py --out docs/packed_equality.json --stop-after-s 540    # all optimizers, on a GPU
    python bench/packed_equality.py --jobs 8 --out docs/packed_equality.json              # eight processes on it
    python bench/packed_equality.py --device cpu --num-steps 3 --out equality.json        # a dry run
    python bench/packed_equality.py --read docs/packed_equality.json                      # prints the tables

The trials are those of `tests/packed/test_meeting.py -k hundred`, four at once, on its tiny Klein with random weights
(`--models nano_klein`: on the twin that is shipped), without dropout: on a GPU a pack draws other masks than a trial
alone. Each trial is trained packed and three times alone: twice in the same way, and once with each picture of a step
in a pass of its own, which is the same in mathematics and not in its last bits.

    distance = |a - b| / |a|          a: alone;  b: packed, alone again, one by one

of all adapter weights as one vector, and of the last step's loss. Attention is one implementation throughout
(efficient, on a GPU), TF32 is off and blocks are not compiled, so that nothing is chosen by a clock.
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import functools
import itertools
import json
import multiprocessing
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from bench.packed_equality_runs import OneByOne, placement_of, trained_together, trials_of  # noqa: E402  found above
from bench.packed_equality_tables import COMPARISONS, GROUP, NAMES, OPTIMIZERS, PRECISIONS, tables  # noqa: E402
from bench.packed_wave import OUT_OF_TIME, keep  # noqa: E402

NANO = ROOT / "src" / "loralab" / "nano" / "klein"
PROMPT_WIDTHS = {"tiny": 48, "nano_klein": 384}
KEY = (*GROUP, "precision", "optimizer", "trial")
Row = dict[str, Any]


class Cell(NamedTuple):
    """What is measured together: the four trials of a pack."""

    optimizer: str
    model: str
    precision: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """How cells are measured.

    Attributes:
        device: of all runs.
        num_steps: of each run.
        out: file of the rows.
        end: when, on the monotonic clock, nothing more is begun.
        shared: folder with the tiny Klein and a file that is locked by who writes rows.
    """

    device: str
    num_steps: int
    out: Path
    end: float
    shared: Path


def main() -> None:
    """Measures what is asked for, or reads what was measured."""
    started = time.monotonic()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--optimizers", nargs="+", default=OPTIMIZERS, choices=OPTIMIZERS)
    parser.add_argument("--models", nargs="+", default=["tiny"], choices=PROMPT_WIDTHS)
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument("--num-steps", type=int, default=100)
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes, each with an optimizer and a precision"
    )
    parser.add_argument("--stop-after-s", type=float, default=float("inf"), help="of the whole call")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, help="JSON file; other rows in it stay")
    where.add_argument("--read", type=Path, help="JSON file to print the tables of")
    arguments = parser.parse_args()
    if arguments.out:
        with tempfile.TemporaryDirectory() as folder:
            end = started + arguments.stop_after_s
            plan = Plan(arguments.device, arguments.num_steps, arguments.out, end=end, shared=Path(folder))
            _measure_all(arguments, plan)
    print(tables(json.loads((arguments.out or arguments.read).read_text())))


def _measure_all(arguments: argparse.Namespace, plan: Plan) -> None:
    from tests.tiny import save_klein

    if "tiny" in arguments.models:
        save_klein(plan.shared / "tiny")
    product = itertools.product(arguments.optimizers, arguments.models, arguments.precisions)
    cells = list(itertools.starmap(Cell, product))
    work = functools.partial(measure, plan=plan)
    if arguments.jobs == 1:
        list(map(work, cells))
        return
    with ProcessPoolExecutor(arguments.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(work, cells))


def measure(cell: Cell, *, plan: Plan) -> None:
    """Writes the row of each trial as soon as it is there; rows of what failed or was not begun say so."""
    on_cuda = torch.device(plan.device).type == "cuda"
    shared = {
        "device": torch.cuda.get_device_name(plan.device) if on_cuda else plan.device,
        "torch": torch.__version__,
        "num_steps": plan.num_steps,
        **cell._asdict(),
    }
    waiting = [*NAMES]
    failure = OUT_OF_TIME
    try:
        for found in _rows(cell, plan):
            waiting.remove(found["trial"])
            _keep([{**shared, **found}], plan)
    except Exception as error:  # a library that is missing, a kernel: the other cells do not need it
        traceback.print_exception(error)
        failure = _reason(error)
    _keep([{**shared, "trial": name, "failed": failure} for name in waiting], plan)


def _rows(cell: Cell, plan: Plan) -> Iterator[Row]:
    """Yields the distances of each trial, until the time would not suffice for the next one."""
    if time.monotonic() > plan.end:
        return
    from tests.packed.trials import Outcome, Trial, alone, distance

    folder = plan.shared / "tiny" if cell.model == "tiny" else NANO
    placement = placement_of(cell.precision, torch.device(plan.device))
    trials = trials_of(cell.optimizer, num_steps=plan.num_steps, prompt_width=PROMPT_WIDTHS[cell.model])

    def single(trial: Trial, **how: Any) -> Outcome:
        return alone(folder, trial, placement, **how)

    single(dataclasses.replace(trials[0], num_steps=1))  # kernels are loaded; a missing library is found
    began = time.monotonic()
    first = single(trials[0])
    single_s = time.monotonic() - began
    if time.monotonic() + 2 * len(trials) * single_s > plan.end:  # the pack, by a guess, and a row
        return
    packed = trained_together(folder, trials, placement)
    for index, (name, trial) in enumerate(zip(NAMES, trials, strict=True)):
        if time.monotonic() + 4 * single_s > plan.end:
            return
        own = single(trial) if index else first
        others = {
            "packed": packed[index],
            "again": single(trial),
            "one_by_one": single(trial, through=OneByOne),
        }
        yield {
            "trial": name,
            "weights": {key: distance(own, others[key]) for key in COMPARISONS},
            "loss": {key: abs(others[key].losses[-1] / own.losses[-1] - 1) for key in COMPARISONS},
        }


def _reason(error: BaseException) -> str:
    """Says what an error began with: a missing module, not that an optimizer cannot be made."""
    while (cause := error.__cause__) is not None:
        error = cause
    return f"{type(error).__name__}: {error}"


def _keep(rows: list[Row], plan: Plan) -> None:
    """Adds rows to the file, one process at a time."""
    if not rows:
        return
    with (plan.shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keep(rows, plan.out, fields=KEY)
    for row in rows:
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
