"""Which versions and which machine a run had."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path

from loralab.files import atomic_write

PACKAGES = (
    "loralab", "torch", "diffusers", "transformers", "peft", "lightning", "safetensors", "hydra-core", "optuna",
    "numpy", "scipy", "pandas", "statsmodels", "matplotlib",
)  # fmt: skip


def record_environment(folder: Path) -> Path:
    """Writes `environment.json` into the run's folder; returns its path."""
    import torch

    facts = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_cores": str(os.cpu_count()),
        "commit": commit(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        **{name: importlib.metadata.version(name) for name in PACKAGES if _is_installed(name)},
    }
    return atomic_write(folder / "environment.json", json.dumps(facts, indent=2) + "\n")


def commit() -> str:
    """Gives the commit of the code that runs, marked where files were changed since; empty outside a checkout."""
    here = ("git", "-C", str(Path(__file__).parent))
    try:
        name = subprocess.run((*here, "rev-parse", "HEAD"), capture_output=True, text=True, check=True)
        changed = subprocess.run(
            (*here, "status", "--porcelain", "--untracked-files=no"),
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return name.stdout.strip() + (" with changes" if changed.stdout.strip() else "")


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
