"""What a training step costs under each memory policy, beside what public training scripts run, on this GPU.

    python bench/memory_speed.py --out docs/memory_speed.json            # measures (on an H100: about ten minutes)
    python bench/memory_speed.py --read docs/memory_speed.json           # prints the tables, draws the picture

Each case runs in a process of its own. The processes of a wave are made ready side by side, which is where the time
goes (imports, compiling), and then timed one after another, alone on the card. Random weights of the true shapes; LoRA
on attention, as in the scripts; times are medians of 8 steps, peaks are torch.cuda.max_memory_allocated of training.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from bench.shapes import Case, to_json  # noqa: E402  found through the line above
from bench.tables import draw_pareto, tables  # noqa: E402

RANKS = {"flux2_klein4b": 16, "flux2_klein9b": 16, "zimage_turbo": 64}
K4, K9, Z = "flux2_klein4b", "flux2_klein9b", "zimage_turbo"
Int8: dict[str, Any] = {"kind": "int8", "low_bit": True}
Fp8: dict[str, Any] = {"kind": "fp8", "low_bit": True}
Off: dict[str, Any] = {"offload_activations": True}
Reference: dict[str, Any] = {"variant": "reference", "checkpointing": "full", "compile": False}


def case(model: str, *changes: dict[str, Any], **more: Any) -> Case:
    """Gives a case with the model's usual rank."""
    merged: dict[str, Any] = {"rank": RANKS[model]}
    for change in (*changes, more):
        merged |= change
    return Case(model, **merged)


MOSTLY_KEPT: dict[str, Any] = {"checkpointed_blocks": 0.1}
WAVES: dict[str, list[Case]] = {
    "main": [
        *(case(model, Reference) for model in (K9, K4, Z)),
        case(K9, Int8, Off),
        case(Z, Int8, Off),
    ],
    "kept": [
        case(K9, Fp8, MOSTLY_KEPT),
        case(Z, Fp8, MOSTLY_KEPT),
        case(K4, Int8, Off),
        case(K4, Fp8, MOSTLY_KEPT),
    ],
    "fp8": [
        *(case(model, Fp8, Off) for model in (Z, K9, K4)),
        case(Z, Fp8, checkpointing="none"),
    ],
    "kinds": [
        case(Z),
        case(K9),
        case(K4),
        case(Z, Off, kind="nf4", checkpointing="full"),
        case(K9, Off, kind="nf4", checkpointing="full"),
    ],
    "resident": [*(case(model, kind) for model in (Z, K9, K4) for kind in (Int8, Fp8))],
    "512": [
        *(case(model, Reference, resolution=512) for model in (Z, K9, K4)),
        *(case(model, Int8, resolution=512) for model in (Z, K9, K4)),
    ],
    "batch": [
        *(case(model, Reference, batch=4) for model in (Z, K4)),
        *(case(model, Int8, Off, batch=4) for model in (Z, K4)),
    ],
    "batch_9b": [case(K9, Reference, batch=4), case(K9, Int8, Off, batch=4)],
    "swapped": [
        case(K9, Int8, Off, offload_blocks=1.0, cap_gib=8.0),
        case(Z, Int8, Off, offload_blocks=1.0, cap_gib=8.0),
        case(K9, Int8, Off, offload_blocks=0.5),
        case(Z, Int8, Off, offload_blocks=0.5),
    ],
}


def main() -> None:
    """Measures the waves that are asked for, or reads what was measured, and writes table and picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--waves", nargs="*", default=list(WAVES), choices=list(WAVES))
    parser.add_argument("--limit-s", type=float, default=240.0, help="of a wave")
    parser.add_argument("--out", type=Path, help="JSON file; rows of other waves and cards in it stay")
    parser.add_argument("--read", type=Path, help="JSON file to make table and picture of")
    arguments = parser.parse_args()
    if arguments.read:
        write_report(json.loads(arguments.read.read_text()), arguments.read)
        return
    rows = [row for name in arguments.waves for row in run_wave(WAVES[name], limit_s=arguments.limit_s)]
    if arguments.out:
        before = json.loads(arguments.out.read_text()) if arguments.out.is_file() else []
        kept = [row for row in before if _key(row) not in {_key(new) for new in rows}]
        arguments.out.write_text(json.dumps([*kept, *rows], indent=1) + "\n")


def run_wave(cases: Sequence[Case], *, limit_s: float) -> list[dict[str, Any]]:
    """Gives a row for each case of a wave."""
    started, folder = time.monotonic(), tempfile.mkdtemp()
    wave = [f"{folder}/ready", str(len(cases))]
    processes = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "bench" / "step.py"), to_json(case), *wave],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for case in cases
    ]
    rows = []
    for case, process in zip(cases, processes, strict=True):
        try:
            output, _ = process.communicate(timeout=max(1.0, limit_s - (time.monotonic() - started)))
        except subprocess.TimeoutExpired:
            process.kill()
            output = process.communicate()[0] + f"\nno result after {limit_s:.0f} s"
        found = [line[4:] for line in output.splitlines() if line.startswith("ROW ")]
        row = json.loads(found[-1]) if found else {**vars(case), "label": case.label, "failed": output[-600:]}
        rows.append(row)
        summary = {
            key: row.get(key) for key in ("ms", "peak_gib", "idle_share", "ready_s", "num_graphs", "failed")
        }
        print(case.model, case.label, case.resolution, case.batch, json.dumps(summary), flush=True)
    print(f"wave of {len(cases)} took {time.monotonic() - started:.0f} s", flush=True)
    return rows


def write_report(rows: list[dict[str, Any]], path: Path) -> None:
    """Prints the tables, for docs/memory.md, and draws time against memory beside the JSON file."""
    print(tables(rows))
    draw_pareto(rows, path.with_suffix(".png"))


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("device", *Case.__dataclass_fields__))


if __name__ == "__main__":
    main()
