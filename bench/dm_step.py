"""Times the second stage of distribution matching beside a plain step: full-size Z-Image Turbo with random weights.

    python bench/dm_step.py --kind int8 --out int8.json            one case on a GPU, under a hard limit of 24 GiB
    python bench/dm_step.py --tiny --out tiny.json                 the same code on a CPU with a tiny network

Both steps are loralab's own, in one process, one after the other: the same base, compiled blocks and adapters. A bank
of random tensors stands for the drawn one; reading it is part of the step.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from bench.shapes import build, random_tensors  # noqa: E402  found through the line above

GIB = 2**30
PROMPT_TOKENS, BANK_SIZE = 100, 8
SCHEDULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}
Step = Callable[[int], dict[str, Any]]


def main() -> None:
    """Measures one case, prints it and writes it as JSON."""
    logging.basicConfig(level=logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", default="int8", choices=["bf16", "int8", "fp8", "nf4"])
    parser.add_argument(
        "--exact", action="store_true", help="read the weights back instead of low-bit products"
    )
    parser.add_argument("--cap-gib", type=float, default=24.0)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--updates", type=int, default=4, help="of the fake network for each of the student")
    parser.add_argument("--checkpointing", default="selective", choices=["selective", "full"])
    parser.add_argument("--warm", type=int, default=1)
    parser.add_argument("--timed", type=int, default=5)
    parser.add_argument("--eager", action="store_true", help="without compiling")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    case = parser.parse_args()
    row = {key: value for key, value in vars(case).items() if key != "out"} | measured(case)
    case.out.parent.mkdir(parents=True, exist_ok=True)
    case.out.write_text(json.dumps(row, indent=2))
    print("ROW " + json.dumps(row), flush=True)


def measured(case: argparse.Namespace) -> dict[str, Any]:
    """Gives seconds, forward passes and memory of both steps, and what drawing the banks would take."""
    device = torch.device("cpu" if case.tiny else "cuda")
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(
            min(1.0, case.cap_gib * GIB / torch.cuda.get_device_properties(device).total_memory)
        )
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        steps, forward = stages(case, device, Path(folder))
        row: dict[str, Any] = {"device": _name(device), "loaded_s": time.perf_counter() - started}
        row["loaded_gib"] = _memory(device)
        for name, step in steps.items():
            row[name] = _timed(step, case, device)
            print(name, row[name], flush=True)
        forward()  # compiles
        row["forward_s"] = _seconds(forward, device)
    row["dm_aware_over_naive"] = row["dm_aware"]["seconds"] / row["naive"]["seconds"]
    row["prior_bank_256_s"], row["pairs_bank_256_s"] = (256 * n * row["forward_s"] for n in (8, 30))
    row["total_s"] = time.perf_counter() - started
    return row


def stages(
    case: argparse.Namespace, device: torch.device, folder: Path
) -> tuple[dict[str, Step], Callable[[], object]]:
    """Gives the steps to measure and one forward pass without gradients."""
    from loralab.adapter.roles import ASSISTANT, STUDENT
    from loralab.data.batch import Batch
    from loralab.flow import LogitNormal
    from loralab.flow.weighting import ConstantWeighting
    from loralab.objectives.distribution.bank import bank_of
    from loralab.objectives.distribution.banks import Banks, Grid
    from loralab.objectives.distribution.cast import companies
    from loralab.objectives.distribution.settings import PRESETS, Fake, Matching
    from loralab.objectives.distribution.stage_one import StageOne
    from loralab.objectives.distribution.stage_two import StageTwo

    base = network(case, device, folder)
    cast = companies(base, base, under=(ASSISTANT,))
    cast.open_stage(2)
    shape = (16, 8, 8) if case.tiny else (16, 128, 128)
    embeds = torch.randn(PROMPT_TOKENS, 16 if case.tiny else 2560, dtype=torch.bfloat16)
    grid = Grid(base, base.sampling.num_steps)
    banks = Banks(lambda prompt: embeds, (("", shape),), grid, 1, ())
    pairs = bank_of(banks.shown, size=BANK_SIZE, root=folder / "pairs", fingerprint=("pairs",))
    pairs.fill(lambda entries: torch.randn(len(entries), *shape), at_once=1, label="pairs")
    prior = bank_of(banks.shown, size=BANK_SIZE, root=folder / "prior", fingerprint=("prior",))
    prior.fill(
        lambda entries: torch.randn(len(entries), grid.num_steps + 1, *shape), at_once=1, label="prior"
    )
    one = StageOne(base, banks, None, 0.0, LogitNormal(), ConstantWeighting(), 0, 1)
    make = functools.partial(
        StageTwo, cast=cast, banks=banks, pairs=pairs, prior=prior, dm=Matching(), guidance=0.0,
        fake=Fake(updates=case.updates), empty=None, seed=0, accumulate=1,
    )  # fmt: skip
    latents = torch.randn(1, *shape).to(device)

    def batch(index: int) -> Batch:
        return Batch(
            latents=latents, prompt_embeds=[embeds.to(device)], weight=torch.ones(1, device=device), mask=None,
            index=index, captions=("",), keys=("",),
        )  # fmt: skip

    def naive(index: int) -> dict[str, Any]:
        with cast.student.roles.active(STUDENT):
            signals = one.micro_step(batch(index))
        return signals | {"forwards": one.cost}

    def later(stage: StageTwo, index: int) -> dict[str, Any]:
        signals = stage.micro_step(batch(index))
        return signals | {"stage": stage}

    student = torch.optim.AdamW(cast.student_parameters, lr=1e-5, fused=True)
    fake = torch.optim.AdamW(cast.fake_parameters, lr=1e-5, fused=True)
    steps = {"naive": naive} | {
        name: functools.partial(later, make(weights=PRESETS[name])) for name in ("coupled", "dm_aware")
    }
    made = {name: functools.partial(_updated, step, student, fake) for name, step in steps.items()}
    answer = cast.scores.velocity([embeds.to(device)], ASSISTANT)
    return made, lambda: answer(latents, torch.full((1,), 0.5, device=device))


def network(case: argparse.Namespace, device: torch.device, folder: Path) -> Any:
    """Gives a denoiser whose transformer carries four random adapters."""
    from loralab.adapter import LoraSpec, inject
    from loralab.adapter.layers import adapter_layers
    from loralab.adapter.lora import add_lora, named_tensors
    from loralab.adapter.roles import ASSISTANT, FAKE, STUDENT, TEACHER
    from loralab.denoiser import Sampling
    from loralab.families.z_image import ZImage
    from loralab.families.z_image.attention import use_processors
    from loralab.families.z_image.components import QUANTIZED
    from loralab.memory import Placement
    from loralab.memory.loading import empty

    kind = None if case.kind == "bf16" else case.kind
    low_bit = case.kind in ("int8", "fp8") and not case.exact and not case.tiny
    placement = Placement(
        device=device, dtype=torch.float32 if case.tiny else torch.bfloat16, kind=kind, low_bit=low_bit,
        checkpointing=case.checkpointing, compile=not (case.eager or case.tiny),
    )  # fmt: skip
    blank = empty(tiny if case.tiny else lambda: build("zimage_turbo"))
    made = placement.filled(lambda: blank, random_tensors(blank, device), quantized=QUANTIZED)
    placement.apply(use_processors(made))
    base = ZImage(
        name="zimage_turbo",
        checkpoint=str(_pipeline(folder)),
        sampling=Sampling(8, 0, 64, 64),
        variant="distilled",
    )
    base.place(placement)
    base = base.with_transformer(made)
    spec = LoraSpec(rank=case.rank, alpha=case.rank, targets="attention_mlp")
    inject(made, spec, pattern=base.target_pattern(spec.targets))
    ranks = dict.fromkeys(adapter_layers(made), case.rank)
    for name in (ASSISTANT, TEACHER, FAKE):
        add_lora(made, spec, ranks=ranks, name=name)
    with torch.no_grad():  # so that no gradient is zero and no score equals another
        for name in (STUDENT, ASSISTANT, TEACHER, FAKE):
            for key, tensor in named_tensors(made, name=name).items():
                if "lora_B" in key:
                    tensor.normal_(0, 0.01)
    return base


def tiny() -> Any:
    """Gives a Z-Image of width 32; run it under `empty`."""
    from diffusers import ZImageTransformer2DModel

    return ZImageTransformer2DModel(
        in_channels=16, dim=32, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=16,
        axes_dims=[8, 4, 4], axes_lens=[1024, 64, 64],
    )  # fmt: skip


def _pipeline(folder: Path) -> Path:
    """Writes as much of a pipeline as its sigmas need."""
    index = {"_class_name": "ZImagePipeline", "scheduler": ["diffusers", SCHEDULER["_class_name"]]}
    (folder / "scheduler").mkdir()
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    return folder


def _updated(
    step: Step, student: torch.optim.Optimizer, fake: torch.optim.Optimizer, index: int
) -> dict[str, Any]:
    signals = step(index)
    torch.nn.utils.clip_grad_norm_([p for group in student.param_groups for p in group["params"]], 1.0)
    student.step()
    student.zero_grad(set_to_none=True)
    if stage := signals.pop("stage", None):
        signals |= stage.update_fake(fake, clip=1.0)
        signals["forwards"] = stage.spent()
    return signals


def _timed(step: Step, case: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    _reset(device)
    first = _seconds(lambda: step(0), device)
    for index in range(case.warm):
        step(1 + index)
    times, signals = [], {}
    for index in range(case.timed):
        _synchronize(device)
        started = time.perf_counter()
        signals = step(1 + case.warm + index)
        _synchronize(device)
        times.append(time.perf_counter() - started)
    times.sort()
    told = {name: float(value) for name, value in signals.items()}
    return {
        "seconds": times[len(times) // 2], "seconds_min": times[0], "seconds_max": times[-1], "first_s": first,
        "forwards": told.pop("forwards"), "peak_gib": _memory(device, peak=True), "signals": told,
    }  # fmt: skip


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    _synchronize(device)
    started = time.perf_counter()
    run()
    _synchronize(device)
    return time.perf_counter() - started


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _memory(device: torch.device, *, peak: bool = False) -> float:
    if device.type != "cuda":
        return 0.0
    return (torch.cuda.max_memory_allocated(device) if peak else torch.cuda.memory_allocated(device)) / GIB


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


if __name__ == "__main__":
    main()
