"""Makes nano models collapse on purpose, records what the sentinel reads, and tells how early it would have said so.

    python bench/sentinel.py --jobs 16 --device cuda --out outputs/sentinel
    python bench/sentinel.py --out outputs/sentinel --table docs/sentinel.md     # judges what is recorded, runs nothing

Every case is a run of its own with `sentinel.action=warn`, whose snapshots are drawn afterwards: the score is the
Chamfer distance between drawings of held-out captions and their true pictures (mean over both directions of the
distance to the nearest, root mean square over colours of 16x16 places). Provoking and healthy settings are tried
alike, and what a run is called is what its score says. Limits are chosen on the tuning set; the test set has other
seeds, and causes that the tuning set does not have. Cases that are recorded are not run again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

STEPS, EVERY = 60, 5
NUM_CAPTIONS, NUM_SOLVER_STEPS = 128, 8
TUNING_CAUSES = ("rate", "alpha", "regularisation")
TUNING_SEEDS = range(8)
MODELS = {"nano_klein": ("emoji_linocut", 3e-3), "nano_zimage_base": ("varied_linocut", 1e-3)}
RATE = "optimizer.lr={rate}"
CAUSES: dict[str, tuple[dict[str, Any], ...]] = {
    # what is multiplied or set; the first ones should collapse, the last ones should not
    "rate": ({"rate": 10}, {"rate": 30}, {"rate": 1}, {"rate": 0.5}),
    "alpha": (
        {"rate": 2, "adapter.alpha": 128},
        {"rate": 4, "adapter.alpha": 256},
        {"rate": 0.5, "adapter.alpha": 32},
    ),
    "regularisation": ({"rate": 8, "regularised": False}, {"rate": 1, "regularised": True}),
    "rank": (
        {"rate": 10, "adapter.rank": 64},
        {"rate": 0.5, "adapter.rank": 64},
        {"rate": 1, "adapter.rank": 4},
    ),
    "quantised": ({"rate": 10, "quantised": True}, {"rate": 1, "quantised": True}),
    "captions": ({"rate": 10, "shuffled": True}, {"rate": 1, "shuffled": True}),
}
SEEDS = range(16)
PROVOKED = {"rate": 10}
MITIGATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "lower rate (x3 instead of x10)": {"rate": 3},
    "lower rank (4)": {"adapter.rank": 4},
    "regularisation": {"regularised": True},
    "early cap (15 steps)": {"steps": 15},
    "sentinel.action=lower_lr": {"sentinel.action": "lower_lr"},
    "sentinel.action=rollback": {"sentinel.action": "rollback"},
}


@dataclass(frozen=True)
class Case:
    """One run: which set it is in, what is wrong with it, and the settings."""

    part: str
    cause: str
    model: str
    seed: int
    settings: tuple[tuple[str, Any], ...]

    @property
    def key(self) -> str:
        """Its name among the records."""
        return json.dumps(asdict(self), sort_keys=True)


def cases() -> Iterator[Case]:
    """Yields every run of the harness."""
    for cause, variants in CAUSES.items():
        for model in MODELS:
            for settings in variants:
                for seed in SEEDS:
                    part = "tuning" if cause in TUNING_CAUSES and seed in TUNING_SEEDS else "test"
                    yield Case(part, cause, model, seed, tuple(settings.items()))
    for name, change in MITIGATIONS.items():
        for seed in range(5):
            yield Case("mitigation", name, "nano_klein", seed, tuple((PROVOKED | change).items()))


def main() -> None:
    """Runs what is not recorded, then prints or writes the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only", nargs="+", help="causes and mitigations to run")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="those that are asked for")
    parser.add_argument("--limit", type=int, help="run so many cases at most")
    parser.add_argument("--table", type=Path, help="run nothing, write the tables")
    arguments = parser.parse_args()
    record = arguments.out / "runs.jsonl"
    rows = [json.loads(line) for line in record.read_text().splitlines()] if record.is_file() else []
    if arguments.table is None:
        known = {row["key"] for row in rows}
        wanted = [
            case
            for case in cases()
            if case.key not in known
            and case.model in arguments.models
            and case.seed in arguments.seeds
            and (not arguments.only or case.cause in arguments.only)
        ]
        run_all(wanted[: arguments.limit], out=arguments.out, jobs=arguments.jobs, device=arguments.device)
        return
    from bench.sentinel_tables import page

    text = page(rows, command="python bench/sentinel.py --jobs 16 --device cuda", device=rows[0]["device"])
    arguments.table.write_text(text, encoding="utf-8")
    print(text)


def run_all(wanted: list[Case], *, out: Path, jobs: int, device: str) -> None:
    """Runs cases side by side and records each as it ends; a case that fails is named and tried again next time."""
    out.mkdir(parents=True, exist_ok=True)
    prepared(out)
    started, num_done = time.monotonic(), 0
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(recorded, case, out=out, device=device): case for case in wanted}
        for future in as_completed(futures):
            case, num_done = futures[future], num_done + 1
            if error := future.exception():
                print(f"FAILED {case}: {error!r}", flush=True)
                continue
            row = future.result()
            with (out / "runs.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            scores = row["scores"].values()
            print(
                f"{num_done}/{len(wanted)} {time.monotonic() - started:.0f} s: {case.cause} {case.model} "
                f"{dict(case.settings)} seed {case.seed}: distance {next(iter(scores)):.3f} -> best {min(scores):.3f}"
                f" -> {list(scores)[-1]:.3f} ({row['seconds']:.0f} s)",
                flush=True,
            )


def recorded(case: Case, *, out: Path, device: str) -> dict[str, Any]:
    """Runs one case, draws its snapshots and gives the record."""
    import torch
    from hydra import compose, initialize_config_dir

    from loralab.config import CONF
    from loralab.run import run

    torch.set_num_threads(1)
    started = time.monotonic()
    folder = out / "runs" / hashlib.sha256(case.key.encode()).hexdigest()[:16]
    shutil.rmtree(folder, ignore_errors=True)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides(case, out=out, device=device))
    result = run(config, root=folder, overrides=[])
    lines = (folder / "sentinel.jsonl").read_text().splitlines()
    trained_s = time.monotonic() - started
    scores = scored(config, folder, concept=MODELS[case.model][0])
    shutil.rmtree(folder)
    return {
        "key": case.key, "part": case.part, "cause": case.cause, "model": case.model, "seed": case.seed,
        "settings": dict(case.settings), "readings": [json.loads(line) for line in lines], "scores": scores,
        "sentinel": result["sentinel"], "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "trained_s": round(trained_s, 1), "seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip


def overrides(case: Case, *, out: Path, device: str) -> list[str]:
    """Gives the command line of a case."""
    settings, (dataset, rate) = dict(case.settings), MODELS[case.model]
    typed = [
        f"model={case.model}", f"seed={case.seed}", f"steps={settings.pop('steps', STEPS)}", "safety=off",
        "logger=none",
        "evaluation=none", f"optimizer.lr={rate * settings.pop('rate')}", f"run.save_every={EVERY}",
        "run.keep_snapshots=0",
        f"run.validate_every={EVERY}", f"trainer.accelerator={device}", f"cache_root='{out.resolve() / 'cache'}'",
        "memory=fp32", "memory.compile=false",
    ]  # fmt: skip
    if settings.pop("regularised", False):
        typed.append(f"dataset.regularization.root={dataset}/regularization")
    if settings.pop("quantised", False):
        typed.append(f"model.checkpoint='{out.resolve() / 'quantised' / case.model}'")
    if settings.pop("shuffled", False):
        typed += [
            "dataset=folder",
            f"dataset.root='{out.resolve() / 'shuffled' / dataset}'",
            "dataset.validation_fraction=0.2",
        ]
    return [*typed, *(f"{key}={value}" for key, value in settings.items())]


def scored(config: Any, folder: Path, *, concept: str) -> dict[str, float]:
    """Gives the distance of the base's drawings (step 0) and of every snapshot's to the true pictures."""
    from hydra.utils import instantiate

    from loralab.adapter import attached
    from loralab.config import model_arguments
    from loralab.evaluation.sampler import draw
    from loralab.evaluation.style import emoji_concept
    from loralab.memory import pick_device

    known = emoji_concept(concept)
    denoiser = instantiate(model_arguments(config))
    denoiser.place(instantiate(config.memory).on(pick_device(config.trainer.accelerator)))
    embeds = denoiser.encode_prompts(list(known.held_out[:NUM_CAPTIONS]))
    denoiser.release("text_encoder")
    truths = known.truths.styled[:NUM_CAPTIONS]

    def distance() -> float:
        drawn = draw(
            denoiser, prompt_embeds=embeds, negative_embeds=None, seeds=range(NUM_CAPTIONS),
            num_steps=NUM_SOLVER_STEPS, guidance_scale=unguided(denoiser), batch_size=NUM_CAPTIONS,
        )  # fmt: skip
        return chamfer(drawn.float().cpu(), truths)

    scores = {"0": distance()}
    for path in sorted((folder / "snapshots").glob("step_*.safetensors")):
        with attached(denoiser.transformer, path, foreign_names=denoiser.foreign_names):
            scores[str(int(path.stem.removeprefix("step_")))] = distance()
    return scores


def unguided(denoiser: Any) -> float:
    """Gives the guidance scale that costs no second call, in the family's own convention."""
    return next(scale for scale in (1.0, 0.0) if not denoiser.guides(scale))


def chamfer(drawn: Any, truths: Any) -> float:
    """Gives the mean of both directions of the distance to the nearest; pictures in [-1, 1]."""
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    one, two = (adaptive_avg_pool2d(each, 16).flatten(1) for each in (drawn, truths))
    distances = torch.cdist(one, two) / one.shape[1] ** 0.5
    return ((distances.min(0).values.mean() + distances.min(1).values.mean()) / 2).item()


def prepared(out: Path) -> None:
    """Makes what cases need: checkpoints rounded to 16 levels, and pictures under each other's captions."""
    from importlib.resources import files

    for model, (dataset, _) in MODELS.items():
        name = {"nano_klein": "klein", "nano_zimage_base": "zimage_base"}[model]
        quantise(Path(str(files("loralab.nano"))) / name, out / "quantised" / model)
        shuffle(dataset, out / "shuffled" / dataset, cache=out / "cache")


def quantise(source: Path, target: Path) -> None:
    """Copies a checkpoint with its transformer's matrices rounded as NF4 does: 16 normal quantiles, blocks of 64."""
    import torch
    from safetensors.torch import load_file, save_file

    if target.is_dir():
        return
    levels = torch.distributions.Normal(0, 1).icdf(torch.linspace(0.03, 0.97, 16))
    levels = levels / levels.max()
    shutil.copytree(source, target.with_suffix(".part"), dirs_exist_ok=True)
    for path in (target.with_suffix(".part") / "transformer").glob("*.safetensors"):
        tensors = load_file(path)
        for key, weight in tensors.items():
            if weight.ndim == 2 and weight.numel() % 64 == 0 and min(weight.shape) > 32:
                blocks = weight.float().reshape(-1, 64)
                largest = blocks.abs().amax(1, keepdim=True).clamp(min=1e-12)
                nearest = (blocks / largest).unsqueeze(-1).sub(levels).abs().argmin(-1)
                tensors[key] = (levels[nearest] * largest).reshape(weight.shape).to(weight.dtype)
        save_file(tensors, path, metadata={"format": "pt"})
    target.with_suffix(".part").rename(target)


def shuffle(dataset: str, target: Path, *, cache: Path) -> None:
    """Writes the training pictures of a concept with every caption beside another picture."""
    from loralab.data import EmojiSource

    if target.is_dir():
        return
    entries = EmojiSource().read(f"{dataset}/train", key="dataset.root", cache_root=cache).entries
    part = target.with_name(f"{target.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    for index, entry in enumerate(entries):
        shutil.copyfile(entry.path, part / f"{index:03d}.bmp")
        (part / f"{index:03d}.txt").write_text(
            str(entries[(index + 7) % len(entries)].caption), encoding="utf-8"
        )
    part.rename(target)


if __name__ == "__main__":
    main()
