"""Runs `train.py` from pictures to preview under hard limits on the GPU's memory, at full size.

    python bench/end_to_end.py --out docs/end_to_end.json
    python bench/end_to_end.py --tiny                       # the same path with tiny networks, on any CPU

Each case: eight random pictures of 1024x1024, true shapes of text encoder, VAE and transformer (bench/folders.py),
encoding, training, export, and a preview that reads the adapter file. The limit is
torch.cuda.set_per_process_memory_fraction: what does not fit ends in an out-of-memory error.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

PLAIN = ["objective=flow_matching", "allow_dedistill=true"]
"""The step alone: `dm_aware` would need an assistant for random weights."""
INT8 = ["memory=int8"]
SMALL = ["memory=int8", "memory.offload_activations=true", "memory.offload_blocks=1.0"]
CASES: dict[str, tuple[str, float, list[str]]] = {
    "klein9b_14": ("flux2_klein9b", 14.0, INT8),
    "klein9b_8": ("flux2_klein9b", 8.0, SMALL),
    "turbo_16": ("zimage_turbo", 16.0, [*PLAIN, *INT8]),
    "turbo_8": ("zimage_turbo", 8.0, [*PLAIN, *SMALL[:2], "memory.offload_blocks=0.5"]),
}


def main() -> None:
    """Starts all cases side by side and prints a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--limit-s", type=float, default=600)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    scratch = arguments.scratch or Path(tempfile.mkdtemp())
    folders = {CASES[name][0] for name in arguments.cases}
    from bench.folders import save_pictures

    for model in sorted(folders):
        _folder(model, scratch / model, tiny=arguments.tiny)
    save_pictures(scratch / "pictures", 64 if arguments.tiny else 1024)
    started = time.monotonic()
    running = {name: _started(name, scratch, arguments) for name in arguments.cases}
    rows = []
    for name, process in running.items():
        left = max(1.0, arguments.limit_s - (time.monotonic() - started))
        try:
            output = process.communicate(timeout=left)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            output = process.communicate()[0] + f"\nno result after {arguments.limit_s:.0f} s"
        rows.append(_row(name, scratch / name, output, process.returncode))
        print("ROW " + json.dumps(rows[-1]), flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


def _started(name: str, scratch: Path, arguments: argparse.Namespace) -> subprocess.Popen[str]:
    model, cap, memory = CASES[name]
    side = 64 if arguments.tiny else 1024
    command = [
        sys.executable, str(ROOT / "bench" / "capped.py"), str(cap), "train.py", f"model={model}",
        f"model.checkpoint={scratch / model}", f"dataset.root={scratch / 'pictures'}", f"dataset.resolutions=[{side}]",
        f"steps={arguments.steps}", "adapter.targets=attention", "run.log_every=2", "logger=none",
        f"cache_root={scratch / 'cache' / name}", f"hydra.run.dir={scratch / name}", "evaluation.style=null",
        "evaluation.previews.num_prompts=1", "evaluation.drawing.num_steps=2", f"evaluation.drawing.height={side}",
        f"evaluation.drawing.width={side}", f"model.sampling.height={side}", f"model.sampling.width={side}", *memory,
    ]  # fmt: skip
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _row(name: str, folder: Path, output: str, status: int | None) -> dict[str, Any]:
    model, cap, memory = CASES[name]
    row: dict[str, Any] = {"case": name, "model": model, "cap_gib": cap, "memory": memory, "status": status}
    if not (folder / "result.json").is_file():
        return row | {"failed": output[-4000:]}
    result = json.loads((folder / "result.json").read_text())
    logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = sorted(line["train/seconds_per_step"] for line in logged if "train/seconds_per_step" in line)
    return row | {
        "result": result.get("status"),
        "stages": result.get("stages"),
        "planned": result.get("memory"),
        "seconds_per_step": steps[0] if steps else None,
        "adapter_mib": round((folder / "adapter.safetensors").stat().st_size / 2**20, 1),
        "preview": (folder / "previews" / "grid.png").is_file(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def _folder(model: str, folder: Path, *, tiny: bool) -> None:
    from bench.folders import save_folder
    from bench.shapes import KLEIN
    from tests.tiny import save_klein, save_zimage

    if tiny:
        (save_klein if model in KLEIN else save_zimage)(folder)
    elif not (folder / "model_index.json").is_file():
        save_folder(model, folder)


if __name__ == "__main__":
    main()
