"""Trains the demo under each memory policy over several seeds, and scores every adapter on the same fp32 base.

    python bench/policy_style.py --seeds 0 1 2 --out docs/policy_style.json

Training runs under the policy (int8 and fp8 with products in themselves); the score is that of
`python -m loralab score`, 64 held-out captions, under memory=fp32, so that only what was learnt differs. The table goes
to the standard output.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

ROOT = Path(__file__).parents[1]
POLICIES = {
    "fp32": ["memory=fp32"],
    "bf16": ["memory=bf16"],
    "int8": ["memory=int8", "memory.products=low_bit"],
    "fp8": ["memory=fp8", "memory.products=low_bit"],
    "nf4": ["memory=nf4"],
}
T_95 = {2: 12.71, 3: 4.303, 4: 3.182, 5: 2.776}
"""Student's t at 95 %, two-sided, by number of pairs."""


def main() -> None:
    """Runs what has no score yet, then prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), choices=list(POLICIES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=ROOT / "outputs" / "policy_style")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    rows = [_row(policy, seed, arguments.runs) for seed in arguments.seeds for policy in arguments.policies]
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=2) + "\n")
    print(table(rows))


def _row(policy: str, seed: int, runs: Path) -> dict[str, Any]:
    folder = runs / f"{policy}_{seed}"
    if not (folder / "result.json").is_file():
        _run(["train.py", *POLICIES[policy], f"seed={seed}", f"hydra.run.dir={folder}", "evaluation=none"])
    score = folder / "score.json"
    if not score.is_file():
        _run(
            [
                "-m", "loralab", "score", f"adapter={folder / 'adapter.safetensors'}", "memory=fp32",
                "evaluation.style.num_held_out=64", "evaluation.style.num_no_trigger=24", "evaluation.style.seeds=[0]",
                "evaluation.previews=null", f"output={folder}",
            ]
        )  # fmt: skip
    result = json.loads((folder / "result.json").read_text())
    return {
        "policy": policy,
        "seed": seed,
        "validation_loss": result["validation"][-1][1],
        "style": json.loads(score.read_text())["style"],
    }


def _run(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True)


def table(rows: list[dict[str, Any]]) -> str:
    """Gives distances by policy, and the paired difference from fp32 with its 95 % interval over seeds."""
    lines = [
        "| policy | pixel distance, by seed | difference from fp32 | feature distance | difference | validation loss |"
    ]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for policy in dict.fromkeys(row["policy"] for row in rows):
        cells = [policy]
        for name in ("pixel", "feature"):
            values, exact = _distances(rows, policy, name), _distances(rows, "fp32", name)
            cells.append(", ".join(f"{value:.4f}" for value in values))
            cells.append(_paired(values, exact) if policy != "fp32" else "")
        cells.append(", ".join(f"{row['validation_loss']:.4f}" for row in rows if row["policy"] == policy))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _distances(rows: list[dict[str, Any]], policy: str, name: str) -> list[float]:
    return [row["style"][name]["adapter"] for row in rows if row["policy"] == policy]


def _paired(values: list[float], exact: list[float]) -> str:
    differences = [value - other for value, other in zip(values, exact, strict=True)]
    if len(differences) < 2:
        return f"{differences[0]:+.4f}"
    half = T_95[len(differences)] * stdev(differences) / len(differences) ** 0.5
    return f"{mean(differences):+.4f} ± {half:.4f}"


if __name__ == "__main__":
    main()
