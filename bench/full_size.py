"""Runs `train.py` end to end at full size with random weights, and tabulates step time and peak memory.

    python bench/full_size.py --models zimage_turbo flux2_klein4b --steps 50 --out docs/full_size.json
    python bench/full_size.py --tiny            # the same path with tiny networks, on any CPU

For each model it saves a diffusers folder with the true shapes (random weights, bf16, a text encoder of the right width
with few layers), 8 random pictures, trains in a process of its own, reloads the adapter in the diffusers pipeline and
draws one picture. Sizes are those of the published component configs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.configs import VAE  # noqa: E402  found through the line above
from bench.folders import save_pictures  # noqa: E402
from bench.shapes import KLEIN, build  # noqa: E402

TEXT_LAYERS = {"flux2_klein4b": 28, "flux2_klein9b": 28, "zimage_base": 3, "zimage_turbo": 3}
SHIFT = {"zimage_turbo": 3.0, "zimage_base": 6.0}


def main() -> None:
    """Runs every case in its own process and prints a table."""
    arguments = _arguments()
    rows = []
    for model in arguments.models:
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
            rows.append(_case(model, Path(scratch), arguments))
            print(json.dumps(rows[-1]), flush=True)
    if arguments.out:
        Path(arguments.out).write_text(json.dumps(rows, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", nargs="+", default=["zimage_turbo", "flux2_klein4b"], choices=sorted(TEXT_LAYERS)
    )
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--resolution", type=int, default=1024)
    parser.add_argument(
        "--tiny", action="store_true", help="tiny networks and 64 pixels: checks the path, not the size"
    )
    parser.add_argument("--scratch", help="folder for weights and pictures (default: the system's)")
    parser.add_argument("--out", help="JSON file for the rows")
    parser.add_argument("overrides", nargs="*", help="more overrides for train.py, after --")
    return parser.parse_args()


def _case(model: str, scratch: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    started = time.perf_counter()
    resolution = 64 if arguments.tiny else arguments.resolution
    checkpoint = _saved(model, scratch / "checkpoint", tiny=arguments.tiny)
    saved_s = time.perf_counter() - started
    save_pictures(scratch / "pictures", resolution)
    run = scratch / "run"
    command = [
        sys.executable, "train.py", f"model={model}", f"model.checkpoint={checkpoint}", "objective=flow_matching",
        f"dataset.root={scratch / 'pictures'}", f"dataset.resolutions=[{resolution}]", f"steps={arguments.steps}",
        f"cache_root={scratch / 'cache'}", f"hydra.run.dir={run}", "run.log_every=10", "evaluation=none", "logger=none",
        *arguments.overrides,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        return {"model": model, "failed": done.stderr[-2000:]}
    result = json.loads((run / "result.json").read_text())
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    step_times = sorted(
        row["train/seconds_per_step"]
        for row in logged
        if "train/seconds_per_step" in row and row["step"] > 10
    )
    return {
        "model": model,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "resolution": resolution,
        "steps": result["steps"],
        "seconds_per_step": step_times[len(step_times) // 2] if step_times else None,
        "stages": result["stages"],
        "adapter_mib": round((run / "adapter.safetensors").stat().st_size / 2**20, 1),
        "saved_s": round(saved_s, 1),
        "reloaded": _reloaded(checkpoint, run / "adapter.safetensors", resolution),
    }


def _saved(model: str, folder: Path, *, tiny: bool) -> Path:
    from tests.tiny import save_klein, save_zimage

    if tiny:
        return save_klein(folder) if model in KLEIN else save_zimage(folder)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            pipeline = _klein(model) if model in KLEIN else _zimage(model)
        pipeline.save_pretrained(folder)
    finally:
        torch.set_default_dtype(torch.float32)
    del pipeline
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return folder


def _text(model: str, *, hidden_size: int) -> Any:
    """A Qwen3 of the right width with a small vocabulary and as many layers as are read."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=512,
            hidden_size=hidden_size,
            intermediate_size=256,
            num_hidden_layers=TEXT_LAYERS[model],
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=64,
            tie_word_embeddings=True,
        )
    )


def _klein(model: str) -> Any:
    from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
    from tests.tiny import tokenizer

    return Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(
            shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15, base_image_seq_len=256,
            max_image_seq_len=4096,
        ),
        vae=AutoencoderKLFlux2(),
        text_encoder=_text(model, hidden_size=KLEIN[model]["joint_attention_dim"] // 3),
        tokenizer=tokenizer(),
        transformer=build(model),
        is_distilled=False,
    )  # fmt: skip


def _zimage(model: str) -> Any:
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        ZImagePipeline,
        ZImageTransformer2DModel,
    )
    from tests.tiny import tokenizer

    transformer = ZImageTransformer2DModel()
    with torch.no_grad():
        transformer.x_pad_token.normal_()
        transformer.cap_pad_token.normal_()
    return ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT[model], use_dynamic_shifting=False),
        vae=AutoencoderKL(
            **VAE,
        ),
        text_encoder=_text(model, hidden_size=2560),
        tokenizer=tokenizer(),
        transformer=transformer,
    )  # fmt: skip


def _reloaded(checkpoint: Path, adapter: Path, resolution: int) -> bool:
    """Loads the adapter in the diffusers pipeline and draws one picture."""
    from diffusers import DiffusionPipeline

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    pipeline = DiffusionPipeline.from_pretrained(checkpoint, torch_dtype=dtype).to(device)
    pipeline.load_lora_weights(str(adapter.parent), weight_name=adapter.name)
    drawn = pipeline(
        prompt="a cat", height=resolution, width=resolution, num_inference_steps=2, output_type="pt"
    ).images
    loaded = bool(pipeline.get_active_adapters()) and bool(torch.isfinite(drawn).all())
    del pipeline
    shutil.rmtree(checkpoint)
    return loaded


if __name__ == "__main__":
    main()
