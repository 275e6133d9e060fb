"""Trains a motion with a tone, an edge control and a motion-track control on the nano LTX-Video, over several seeds.

    python bench/ltx_nano.py --seeds 0 1 2 --out docs/ltx_nano.json --table docs/ltx_nano.md

Every run is `python train.py model=nano_ltx dataset=<concept> objective.mode=t2av seed=<seed>`; scores are of held-out
clips, of the adapter file, against the base, true clips as the VAEs keep them, and true clips of other captions
(loralab.nano.ltx.score_concepts). Runs that have their adapter are not run again; `--parallel 3` trains three at
a time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).parents[1]
CONCEPTS = {"moving_zigzag": 200, "moving_canny": 600, "moving_tracks": 600}
"""Steps of each."""
OVERRIDES = ("model=nano_ltx", "objective.mode=t2av", "evaluation=none", "logger=none")


def main() -> None:
    """Trains what has no adapter yet, scores everything, writes the figures and the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concepts", nargs="+", choices=list(CONCEPTS), default=list(CONCEPTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="instead of each concept's own")
    parser.add_argument("--limit", type=int, default=64, help="held-out clips of each score")
    parser.add_argument("--parallel", type=int, default=1, help="runs at a time")
    parser.add_argument("--runs", type=Path, default=ROOT / "outputs" / "ltx_nano")
    parser.add_argument("--folder", type=Path, default=ROOT / "src" / "loralab" / "nano" / "ltx23")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--table", type=Path, help="Markdown file for the table")
    parser.add_argument("overrides", nargs="*", help="more overrides of train.py, after --")
    arguments = parser.parse_args()
    with ThreadPoolExecutor(arguments.parallel) as pool:
        pairs = [(concept, seed) for concept in arguments.concepts for seed in arguments.seeds]
        adapters = dict(zip(pairs, pool.map(lambda pair: _trained(*pair, arguments), pairs), strict=True))
    rows = _scored(adapters, folder=arguments.folder, limit=arguments.limit)
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(table := _table(rows))
    if arguments.table:
        arguments.table.write_text(table + "\n", encoding="utf-8")


def _trained(concept: str, seed: int, arguments: argparse.Namespace) -> Path:
    """Gives the adapter of a run."""
    run = (arguments.runs / f"{concept}_{seed}").resolve()
    if not (run / "adapter.safetensors").is_file():
        run.mkdir(parents=True, exist_ok=True)
        overrides = [
            *OVERRIDES,
            f"dataset={concept}",
            f"seed={seed}",
            f"steps={arguments.steps or CONCEPTS[concept]}",
            f"model.checkpoint={arguments.folder.resolve()}",
            f"hydra.run.dir={run}",
            *arguments.overrides,
        ]
        with (run / "stdout.txt").open("w") as log:
            subprocess.run(
                [sys.executable, "train.py", *overrides], cwd=ROOT, check=True, stdout=log, stderr=log
            )
    return run / "adapter.safetensors"


def _scored(adapters: dict[tuple[str, int], Path], *, folder: Path, limit: int) -> list[dict[str, Any]]:
    from loralab.adapter import attached
    from loralab.families.ltx_video.names import FOREIGN_NAMES
    from loralab.nano.ltx.draw import load_twin
    from loralab.nano.ltx.score_concepts import score_concept

    twin, rows = load_twin(folder), []
    for concept in dict.fromkeys(concept for concept, _ in adapters):
        figures = score_concept(twin, concept, limit=limit, has_adapter=False)
        rows += [
            {"concept": concept, "what": f"base: {what}", "figures": row} for what, row in figures.items()
        ]
    for (concept, seed), path in adapters.items():
        with attached(twin.transformer, path, foreign_names=FOREIGN_NAMES):
            figures = score_concept(twin, concept, limit=limit, has_adapter=True)
        rows += [
            {"concept": concept, "what": f"adapter: {what}", "seed": seed, "figures": row}
            for what, row in figures.items()
        ]
    return rows


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| concept | clips | figure | by seed | mean |", "| --- | --- | --- | --- | --- |"]
    for concept, what in dict.fromkeys((row["concept"], row["what"]) for row in rows):
        found = [row["figures"] for row in rows if (row["concept"], row["what"]) == (concept, what)]
        for name in found[0]:
            values = [figures[name] for figures in found]
            each = ", ".join(f"{value:.3g}" for value in values)
            lines.append(f"| {concept} | {what} | {name} | {each} | {mean(values):.3g} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
