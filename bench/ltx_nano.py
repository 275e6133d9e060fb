"""Trains a motion with a tone, an edge control and a motion-track control on the nano LTX-Video, over several seeds.

    python bench/ltx_nano.py --seeds 0 1 2 --parallel 3 --out docs/ltx_nano.json --table docs/ltx_nano.md

Every run is `python train.py model=nano_ltx dataset=<concept> objective.mode=t2av seed=<seed>`; scores are of held-out
clips, of the adapter file, against the base, true clips as the VAEs keep them, and true clips of other captions
(loralab.nano.ltx.score_concepts). The clips are written first, once for all runs. An adapter is scored as soon as it is
there, while others train, and the files are written anew after each: what was cut short keeps what it had. A run that
fails or takes longer than --limit-s is told and left out; runs that have their adapter are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).parents[1]
CONCEPTS = {"moving_zigzag": 200, "moving_canny": 600, "moving_tracks": 600}
"""Steps of each."""
OVERRIDES = ("model=nano_ltx", "objective.mode=t2av", "evaluation=none", "logger=none")
Row = dict[str, Any]


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
    parser.add_argument("--threads", type=int, default=2, help="threads of each run's host")
    parser.add_argument("--limit-s", type=float, default=600, help="seconds that a run may take")
    parser.add_argument("--runs", type=Path, default=ROOT / "outputs" / "ltx_nano")
    parser.add_argument("--cache", type=Path, default=ROOT / "outputs" / "cache", help="clips and latents")
    parser.add_argument("--folder", type=Path, default=ROOT / "src" / "loralab" / "nano" / "ltx23")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--table", type=Path, help="Markdown file for the table")
    parser.add_argument("overrides", nargs="*", help="more overrides of train.py, after --")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for fresh in _rows(arguments):
        rows += fresh
        rows.sort(key=lambda row: (row["concept"], row.get("seed", -1)))
        if arguments.out:
            arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        if arguments.table:
            arguments.table.write_text(table(rows) + "\n", encoding="utf-8")
    print(table(rows))


def _rows(arguments: argparse.Namespace) -> Iterator[list[Row]]:
    """Figures as they come: the base's first, while adapters train."""
    _write_clips(arguments.concepts, folder=arguments.cache / "moving")
    with ThreadPoolExecutor(arguments.parallel) as pool:
        pairs = [(concept, seed) for seed in arguments.seeds for concept in arguments.concepts]
        runs = {pool.submit(_trained, *pair, arguments): pair for pair in pairs}
        yield from _scored(runs, folder=arguments.folder, limit=arguments.limit)


def _write_clips(concepts: list[str], *, folder: Path) -> None:
    from loralab.data.moving import MovingSource

    source = MovingSource(folder=str(folder))
    roots = [f"{concept}/{split}" for concept in concepts for split in ("train", "validation")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda root: source.read(root, key="dataset.root"), roots))


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
            f"cache_root={arguments.cache.resolve()}",
            f"hydra.run.dir={run}",
            *arguments.overrides,
        ]
        with (run / "stdout.txt").open("w") as log:
            subprocess.run(
                [sys.executable, "train.py", *overrides],
                cwd=ROOT,
                check=True,
                stdout=log,
                stderr=log,
                timeout=arguments.limit_s,
                env={**os.environ, "OMP_NUM_THREADS": str(arguments.threads)},
            )
    return run / "adapter.safetensors"


def _scored(runs: dict[Future[Path], tuple[str, int]], *, folder: Path, limit: int) -> Iterator[list[Row]]:
    from loralab.adapter import attached
    from loralab.families.ltx_video.names import FOREIGN_NAMES
    from loralab.nano.ltx.draw import load_twin
    from loralab.nano.ltx.score_concepts import score_concept

    twin = load_twin(folder)
    for concept in dict.fromkeys(concept for concept, _ in runs.values()):
        figures = score_concept(twin, concept, limit=limit, has_adapter=False)
        yield [{"concept": concept, "what": f"base: {what}", "figures": row} for what, row in figures.items()]
    for run in as_completed(runs):
        concept, seed = runs[run]
        try:
            path = run.result()
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"{concept} seed {seed} failed, see its stdout.txt: {error}", file=sys.stderr, flush=True)
            continue
        with attached(twin.transformer, path, foreign_names=FOREIGN_NAMES):
            figures = score_concept(twin, concept, limit=limit, has_adapter=True)
        print(f"{concept} seed {seed} {json.dumps(figures)}", flush=True)
        yield [
            {"concept": concept, "what": f"adapter: {what}", "seed": seed, "figures": row}
            for what, row in figures.items()
        ]


def table(rows: list[Row]) -> str:
    """The figures over seeds, in Markdown."""
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
