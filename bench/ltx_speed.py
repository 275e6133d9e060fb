"""What a training step of LTX-2.3 (22B, video and sound) costs beside what public training scripts run, on this GPU.

    python bench/ltx_speed.py --out docs/ltx_speed.json                          # every case, the goal's first
    python bench/ltx_speed.py --cases 'video.*' --stop-after-s 280 --out docs/ltx_speed.json
    python bench/ltx_speed.py --read docs/ltx_speed.json                         # prints the table
    python bench/ltx_speed.py --tiny                                             # the same path on any CPU

Each case runs in a process of its own. Those of a wave are made ready side by side, which is where the time goes
(imports, compiling), and then timed one after another, alone on the card. The transformer has its true shape and random
weights; latents and 1,024 tokens of prompt are ready. LoRA of rank 32 on attention and feed-forward layers of whichever
modalities are there. A row is in the file as soon as it is measured, and `--stop-after-s` ends a call in time.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from bench.ltx_cases import ClipCase, all_cases  # noqa: E402  found through the line above
from bench.packed_wave import OUT_OF_TIME, keep, run_waves, waves  # noqa: E402
from bench.shapes import to_json  # noqa: E402
from bench.timing import WAIT_S  # noqa: E402

QUICK = ("video.reference", "video.int8")
"""What --tiny runs where no cases are named: each compiled one takes half a minute on a slow CPU."""
SHOWN = ("ms", "peak_gib", "reserved_gib", "idle_share", "ready_s", "num_graphs", "low_bit_layers", "failed")
KEY = ("device", *ClipCase.__dataclass_fields__)
HEAD = (
    "| clip | policy | ms (fastest) | times as fast (fastest steps) | peak GiB | x memory | reserved GiB | GPU idle |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
)
Row = dict[str, Any]


def main() -> None:
    """Measures what is asked for, or reads what was measured."""
    started = time.monotonic()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="*", help="names or patterns, measured in this order; see --list")
    parser.add_argument("--list", action="store_true", help="prints the cases in their order")
    parser.add_argument("--side-by-side", type=int, default=2, help="processes of a wave, at most")
    parser.add_argument("--card-gib", type=float, default=139.0, help="that a wave must fit on")
    parser.add_argument("--limit-s", type=float, default=WAIT_S, help="until a case is ready to be timed")
    parser.add_argument("--stop-after-s", type=float, default=float("inf"), help="of the whole call")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, on any CPU")
    parser.add_argument("--out", type=Path, help="JSON file; other rows in it stay")
    parser.add_argument("--read", type=Path, help="JSON file to print the table of")
    arguments = parser.parse_args()
    if arguments.read:
        print(table(json.loads(arguments.read.read_text())))
        return
    if not 0 < arguments.limit_s <= WAIT_S:
        parser.error(
            f"--limit-s {arguments.limit_s:g}: who is ready waits {WAIT_S:g} s for the others, no longer"
        )
    try:
        cases = chosen(arguments.cases or (QUICK if arguments.tiny else ["*"]), tiny=arguments.tiny)
    except ValueError as error:
        parser.error(str(error))
    if arguments.list:
        print("\n".join(f"{name:28} {case.label}" for name, case in cases.items()))
        return
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # and what runs is ended
    _measure(cases, arguments, end=started + arguments.stop_after_s)


def chosen(patterns: Sequence[str], *, tiny: bool = False) -> dict[str, ClipCase]:
    """Gives the cases that patterns name, in the order of the patterns and then of their weight.

    Raises:
        ValueError: if a pattern names none.
    """
    known = all_cases(tiny=tiny)
    found: dict[str, ClipCase] = {}
    for pattern in patterns:
        names = fnmatch.filter(known, pattern)
        if not names:
            raise ValueError(f"--cases {pattern}: no such case; choose among {', '.join(known)}")
        found |= {name: known[name] for name in names if name not in found}
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Gives a table; each row is compared with the reference of its own card, size and sound."""
    references = {_clip(row): row for row in rows if _is_reference(row) and "ms" in row}
    return "\n".join([*HEAD, *(_line(row, references.get(_clip(row))) for row in rows)])


def _measure(cases: Mapping[str, ClipCase], arguments: argparse.Namespace, *, end: float) -> None:
    rows: list[Row] = []
    asked: list[Row] = [{"case": case, "width": 1, "name": name} for name, case in cases.items()]
    found = waves(
        asked,
        most=arguments.side_by_side,
        guess_gib=lambda one: one["case"].guessed_gib,
        limit_gib=arguments.card_gib,
    )
    for row in run_waves(found, _programs, limit_s=arguments.limit_s, end=end):
        rows.append({key: value for key, value in row.items() if key != "width"})
        shown = {key: row[key] for key in SHOWN if key in row}
        print(f"{_named(row)}, {row['label']} {json.dumps(shown)}", flush=True)
        if arguments.out:
            keep(rows, arguments.out, fields=KEY)
    print(table(rows))


def _programs(wave: Sequence[Row]) -> list[list[str]]:
    return [[str(ROOT / "bench" / "ltx_speed_step.py"), to_json(one["case"])] for one in wave]


def _line(row: Mapping[str, Any], reference: Mapping[str, Any] | None) -> str:
    what = f"| {_named(row)} | {row['label']} |"
    if "ms" not in row:
        last = str(row["failed"]).strip().splitlines()[-1][-80:].strip().replace("|", "/")
        return f"{what} {last if last == OUT_OF_TIME else f'failed: {last}'} | | | | | |"
    cells = [
        f"{row['ms']:.0f} ({row['ms_min']:.0f})",
        f"{reference['ms'] / row['ms']:.2f} ({reference['ms_min'] / row['ms_min']:.2f})" if reference else "",
        f"{row['peak_gib']:.2f}" if "peak_gib" in row else "",
        f"{row['peak_gib'] / reference['peak_gib']:.2f}" if reference and "peak_gib" in reference else "",
        f"{row['reserved_gib']:.2f}" if "reserved_gib" in row else "",
        f"{row['idle_share']:.1%}" if "idle_share" in row else "",
    ]
    return f"{what} " + " | ".join(cells) + " |"


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['size']}, video and sound" if row["audio"] else f"{row['size']}, video"


def _clip(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(key) for key in ("device", "size", "audio"))


def _is_reference(row: Mapping[str, Any]) -> bool:
    return row["variant"] == "reference" and not row["compile"]


if __name__ == "__main__":
    main()
