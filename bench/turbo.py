"""What few-step training of nano_zimage_turbo keeps and what it costs: every preset against naive, with intervals.

    python bench/turbo.py --budget small --jobs 2                            # a CPU: one concept, the main table
    python bench/turbo.py --budget full --jobs 12 --groups main rates ablation rank --concepts all    # one H100
    python bench/turbo.py --budget small --tables-only                       # tables again from what is there

Each run is one line of train.py in a process of its own; what is finished is not run again, and an interrupted run goes
on. Then every adapter file is scored on Turbo (bench/turbo_scores.py), one process for each concept and seed. Writes
docs/turbo.json, docs/turbo.md and docs/img/turbo.png; `--out` moves all three. Runs of the same budget that turbo.json
knows stay in it, also where their folders are gone. An assistant is trained first unless one is given.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.turbo_arms import BUDGETS, CONCEPTS, MATCHING, TURBO, UNTRAINED, Arm, arms  # noqa: E402  found through the line above
from bench.turbo_figures import Figures  # noqa: E402
from bench.turbo_grid import draw_grid  # noqa: E402
from bench.turbo_tables import page  # noqa: E402

from loralab.files import atomic_write  # noqa: E402
from loralab.report.study.confirm.runs import Run, run_all  # noqa: E402

GROUPS = ("main", "rates", "ablation", "rank", "short")


def main() -> None:
    """Trains what is missing, scores it and writes the page."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = _arguments()
    chosen = sorted(_chosen(arguments), key=lambda arm: arm.overrides[0] != MATCHING[0])  # long ones first
    failures: list[str] = []
    if not arguments.tables_only:
        assistant = arguments.assistant or _assistant(arguments)
        for second in (False, True):  # which goes on from adapters of the first
            runs = [
                _run(arguments, arm, concept, seed, assistant)
                for seed in arguments.seeds
                for arm in chosen
                for concept in arguments.concepts
                if (arm.teacher is not None) is second
            ]
            failures += run_all(runs, num_workers=arguments.jobs)
        failures += _score(arguments, chosen, assistant)
    every = arms(groups=GROUPS)  # the page shows all that is there, whatever was asked for this time
    rows, base = _rows(arguments, every)
    kept = _kept(arguments.out / "turbo.json", budget=arguments.budget)
    write(arguments, every, rows=merged(kept["rows"], rows), base=base or kept["base"])
    if failures:
        sys.exit("\n\n".join(failures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--budget", choices=BUDGETS, default="small")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=["main"])
    parser.add_argument("--arms", nargs="+", help="these alone, whatever their group")
    parser.add_argument("--concepts", nargs="+", choices=[*CONCEPTS, "all"], default=[CONCEPTS[0]])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, which share cores and GPU")
    parser.add_argument("--assistant", type=Path, help="adapter file; trained first if there is none")
    parser.add_argument("--runs", type=Path, help="folder (outputs/turbo/<budget>)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder of turbo.md")
    parser.add_argument("--turbo", type=Path, help="checkpoint folder in place of the shipped one")
    parser.add_argument("--base", type=Path, help="that of its base")
    parser.add_argument("--tables-only", action="store_true")
    arguments = parser.parse_args()
    if unknown := {*(arguments.arms or ())} - {arm.name for arm in arms(groups=GROUPS)}:
        parser.error(f"--arms {' '.join(sorted(unknown))}: there is none of that name")
    if "all" in arguments.concepts:
        arguments.concepts = list(CONCEPTS)
    arguments.runs = (arguments.runs or ROOT / "outputs" / "turbo" / arguments.budget).resolve()
    return arguments


def _chosen(arguments: argparse.Namespace) -> list[Arm]:
    """Gives the arms that are asked for, by name or by group."""
    if arguments.arms is None:
        return arms(groups=arguments.groups)
    return [arm for arm in arms(groups=GROUPS) if arm.name in arguments.arms]


def _assistant(arguments: argparse.Namespace) -> Path:
    """Trains the assistant, unless there is one."""
    budget, folder = BUDGETS[arguments.budget], arguments.runs / "assistant"
    path: Path = folder / "adapter.safetensors"
    if not path.is_file():
        pictures = min(2000, 4 * budget.assistant + 8)
        overrides = [
            f"model={TURBO}", *_checkpoint(arguments.turbo), f"steps={budget.assistant}", "adapter.rank=32",
            f"assistant.output={folder}", f"assistant.num_pictures={pictures}", f"run.save_every={budget.assistant}",
            f"cache_root={arguments.runs / 'cache'}", "memory=fp32", "safety=off", "logger=none",
        ]  # fmt: skip
        command = [sys.executable, "-m", "loralab", "assistant", "train", *overrides]
        subprocess.run(command, cwd=ROOT, check=True)
    return path


def _checkpoint(folder: Path | None) -> list[str]:
    return [] if folder is None else [f"model.checkpoint={folder.resolve()}"]


def _run(arguments: argparse.Namespace, arm: Arm, concept: str, seed: int, assistant: Path) -> Run:
    folder = arguments.runs / concept / f"{arm.name}_{seed}"
    _write_prompts(arguments.runs, concept)
    line = arm.line(
        BUDGETS[arguments.budget],
        concept=concept,
        seed=seed,
        assistant=assistant.resolve(),
        runs=folder.parent,
    )
    replaced = _checkpoint(arguments.turbo if arm.model == TURBO else arguments.base)
    return Run(
        title=f"{concept} {arm.name} seed {seed}",
        folder=folder,
        program=(sys.executable, str(ROOT / "train.py")),
        overrides=(*line, *replaced, f"cache_root={arguments.runs / 'cache'}"),
        placing=f"hydra.run.dir={folder}",
        resuming=f"run.resume={folder}",
    )


def _write_prompts(runs: Path, concept: str) -> None:
    """Writes the prompts of the prior: captions of pictures that neither the test nor the truth asks for."""
    from loralab.data.emoji.varied_concepts import varied_concept

    path = runs / concept / "prior.txt"
    if not path.is_file():
        captions = dict.fromkeys(picture.caption for picture in varied_concept(concept).regularization)
        atomic_write(path, "\n".join(captions) + "\n")


def _score(arguments: argparse.Namespace, chosen: Sequence[Arm], assistant: Path) -> list[str]:
    """Scores each concept and seed in its own process, as many at a time as there are jobs; gives what failed."""
    shards = [(concept, seed) for concept in arguments.concepts for seed in arguments.seeds]
    first = (
        [] if (arguments.runs / "base.json").is_file() else [shards.pop(0)]
    )  # which scores the base as well, once
    parts = [
        first,
        *(shards[start : start + arguments.jobs] for start in range(0, len(shards), arguments.jobs)),
    ]
    failures = []
    for part in parts:
        processes = {shard: _scored(arguments, *shard, chosen, assistant) for shard in part}
        failures += [f"scoring {shard} failed" for shard, process in processes.items() if process.wait()]
    return failures


def _scored(
    arguments: argparse.Namespace, concept: str, seed: int, chosen: Sequence[Arm], assistant: Path
) -> subprocess.Popen[bytes]:
    folders = [*_named("--turbo", arguments.turbo), *_named("--base", arguments.base)]
    command = [
        sys.executable, str(ROOT / "bench" / "turbo_scores.py"), "--runs", str(arguments.runs), "--concept", concept,
        "--seed", str(seed), "--assistant", str(assistant), "--budget", arguments.budget, *folders, "--arms",
        *(arm.name for arm in chosen),
    ]  # fmt: skip
    threads = {"OMP_NUM_THREADS": str(max((os.cpu_count() or 1) // arguments.jobs, 1))}
    return subprocess.Popen(command, cwd=ROOT, env={**threads, **os.environ})


def _named(option: str, path: Path | None) -> list[str]:
    return [] if path is None else [option, str(path.resolve())]


def _rows(
    arguments: argparse.Namespace, chosen: Sequence[Arm]
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Reads every score that there is, with the seconds of its run."""
    rows = []
    for concept in arguments.concepts:
        for name, teacher in (
            *((name, None) for name in UNTRAINED),
            *((arm.name, arm.teacher) for arm in chosen),
        ):
            for seed in arguments.seeds:
                folder = arguments.runs / concept / f"{name}_{seed}"
                if (folder / "score.json").is_file():
                    figures = json.loads((folder / "score.json").read_text())
                    cost = _cost(folder, *([] if teacher is None else [folder.parent / f"{teacher}_{seed}"]))
                    rows.append({"concept": concept, "arm": name, "seed": seed, **figures, **cost})
    base = arguments.runs / "base.json"
    return rows, json.loads(base.read_text()) if base.is_file() else {}


def _kept(path: Path, *, budget: str) -> dict[str, Any]:
    """Gives what the page rested on before, if that was of the same budget."""
    content = json.loads(path.read_text()) if path.is_file() else {}
    return content if content.get("budget") == budget else {"rows": [], "base": {}}


def merged(before: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gives all rows, in place of earlier ones where a run has both."""

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["concept"], row["arm"], row["seed"]

    return list({key(row): row for row in (*before, *now)}.values())


def _cost(*folders: Path) -> dict[str, Any]:
    """Adds up the runs that an adapter comes from."""
    paths = [folder / "result.json" for folder in folders]
    if not all(path.is_file() for path in paths):
        return {}
    results = [json.loads(path.read_text()) for path in paths]
    seconds = sum(result["stages"]["train"]["wall_time_s"] for result in results)
    return {"seconds": seconds, "steps": sum(result["steps"] for result in results)}


def write(
    arguments: argparse.Namespace,
    chosen: Sequence[Arm],
    *,
    rows: Sequence[dict[str, Any]],
    base: dict[str, float],
) -> None:
    """Writes JSON, page and picture."""
    command = f"python bench/turbo.py --budget {arguments.budget} --groups {' '.join(arguments.groups)}"
    command += f" --concepts {' '.join(arguments.concepts)} --seeds {' '.join(map(str, arguments.seeds))}"
    if arguments.assistant:
        command += f" --assistant {arguments.assistant}"
    atomic_write(
        arguments.out / "turbo.json",
        json.dumps({"command": command, "budget": arguments.budget, "base": base, "rows": rows}, indent=1)
        + "\n",
    )
    groups = {group: [arm.name for arm in chosen if arm.group == group] for group in GROUPS}
    picture = draw_grid(
        arguments.runs, arguments.concepts, seed=arguments.seeds[0], path=arguments.out / "img" / "turbo.png"
    )
    shown = "![Turbo, naive, adapter, dm_aware and the truth](img/turbo.png)" if picture else ""
    opening = OPENING.format(command=command, budget=BUDGETS[arguments.budget], shown=shown)
    text = page(Figures(rows), base=base, groups=groups, opening=opening)
    atomic_write(arguments.out / "turbo.md", text)
    print(text)


OPENING = """# Few steps kept: the presets on the nano Z-Image Turbo
`{command}` makes this page; figures of every run are in [turbo.json](turbo.json). {budget}.

Trained on 2,048 pictures of each concept, at the recipe's rate with half a cosine down; `coupled`, `dm_aware` and what
adds or leaves out a term go on from the `adapter` run of the same seed. A look is asked for in pictures held out of
the emoji that training shows, a thing in pictures drawn anew.

Fréchet: distance of pictures drawn for held-out captions at 8 steps and guidance 0 to true ones as the VAE keeps them
(EfficientNet-Lite0 features, loralab.evaluation.distribution); `truth` is that of other true pictures, below which
nothing can be expected, also of accuracy, precision and recall. Of naive: the ratio to the naive run of the same seed.
NFE gap: at 8 steps over 32. Sharpness: Laplacian energy beside the true pictures', since a concept has detail of its
own (beside Turbo's: turbo.json).
Accuracy: pictures told from those without the trigger. Prior: distance to true pictures of captions without the
trigger, over untouched Turbo's. Drift: change of those pictures, over their spread. Seconds: of training, first stage
and banks included, of the latest runs, which shared a GPU with each other; of others they are left out.
Teacher: `adapter` with the assistant, at 50 steps. Means over seeds with bootstrap intervals over seeds.

{shown}"""


if __name__ == "__main__":
    main()
