"""Which device a run uses."""

from __future__ import annotations

import torch

from loralab.errors import UserError

ACCELERATORS = ("auto", "cpu", "cuda", "gpu")


def pick_device(accelerator: str) -> torch.device:
    """Gives the device behind `auto` (CUDA where there is one), `cpu`, `cuda` or `gpu`.

    Raises:
        UserError: for another name, and for CUDA where there is none.
    """
    if accelerator not in ACCELERATORS:
        raise UserError(f"accelerator={accelerator} is none of {', '.join(ACCELERATORS)}")
    available = torch.cuda.is_available()
    if accelerator in ("cuda", "gpu") and not available:
        raise UserError(
            f"accelerator={accelerator}: no CUDA device is usable here; accelerator=cpu is slow but works"
        )
    return torch.device("cuda", 0) if available and accelerator != "cpu" else torch.device("cpu")
