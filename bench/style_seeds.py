"""Trains the emoji concepts over several seeds and tabulates what the adapters learned.

    python bench/style_seeds.py --seeds 0 1 2 --out docs/style.json

Every run is `python train.py dataset=<concept> seed=<seed>` with 64 held-out captions; distances and intervals are
those of `result.json`. The table goes to the standard output.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).parents[1]
CONCEPTS = ("emoji_linocut", "emoji_twemoji")


def main() -> None:
    """Runs what has no result yet, then prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concepts", nargs="+", default=CONCEPTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=ROOT / "outputs" / "style_seeds")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    rows = [_run(concept, seed, arguments.runs) for concept in arguments.concepts for seed in arguments.seeds]
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=2) + "\n")
    print(_table(rows))


def _run(concept: str, seed: int, runs: Path) -> dict[str, Any]:
    folder = runs / f"{concept}_{seed}"
    if not (folder / "result.json").is_file():
        overrides = [
            f"dataset={concept}",
            f"seed={seed}",
            f"hydra.run.dir={folder}",
            "evaluation=full",
            "evaluation.style.seeds=[0]",
            "evaluation.style.num_held_out=64",
            "evaluation.style.num_no_trigger=24",
        ]
        subprocess.run([sys.executable, "train.py", *overrides], cwd=ROOT, check=True)
    result = json.loads((folder / "result.json").read_text())
    return {"concept": concept, "seed": seed, "style": result["style"], "stages": result["stages"]}


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| concept | measure | base | adapter, by seed | mean change |",
        "| --- | --- | --- | --- | --- |",
    ]
    for concept in dict.fromkeys(row["concept"] for row in rows):
        scores = [row["style"] for row in rows if row["concept"] == concept]
        for name in ("pixel", "feature"):
            lines.append(
                _line(
                    concept,
                    f"{name} distance to the truth",
                    [(s[name]["base"], s[name]["adapter"]) for s in scores],
                )
            )
        lines.append(
            _line(
                concept, "Fréchet distance", [(s["frechet"]["base"], s["frechet"]["adapter"]) for s in scores]
            )
        )
        drift = ", ".join(f"{s['drift_feature']['ratio']:.2f}" for s in scores)
        lines.append(f"| {concept} | drift without trigger, as a share of another seed's | | {drift} | |")
    return "\n".join(lines)


def _line(concept: str, measure: str, pairs: list[tuple[float, float]]) -> str:
    base = mean(before for before, _ in pairs)
    change = mean(after / before - 1 for before, after in pairs)
    adapters = ", ".join(f"{after:.4f}" for _, after in pairs)
    return f"| {concept} | {measure} | {base:.4f} | {adapters} | {change:+.0%} |"


if __name__ == "__main__":
    main()
