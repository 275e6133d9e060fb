"""How much memory a run has needed at most."""

from __future__ import annotations

import sys

import torch

GIB = 2**30


def peak_memory_gib(device: torch.device) -> float:
    """Gives the most memory held: by tensors since the last reset on CUDA, by the whole process so far elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    import resource  # Unix only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / GIB  # macOS counts bytes, Linux kibibytes
