"""How much of a GPU's time nobody used: the share of a profile in which no kernel and no copy ran on any stream.

`gpu_idle_share(profile)` takes a finished `torch.profiler.profile` whose activities include CUDA.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

BUSY = ("kernel", "gpu_memcpy", "gpu_memset")
"""Categories of a trace that are work of the GPU; annotations lie on its timeline as well and span the gaps."""
GROUPS = {
    "low_bit_products": ("_matmul",),
    "attention": ("sdpa", "flash", "fmha", "cudnn::fusion"),
    "other_products": ("nvjet", "gemm", "cutlass"),
}
"""Parts of kernels' names, by what the kernels do."""


def gpu_idle_share(profile: Any) -> float:
    """Gives the idle share between the first and the last event on the GPU.

    Args:
        profile: a finished `torch.profiler.profile`, or the events of a trace that one has exported.

    Raises:
        ValueError: if nothing ran on a GPU.
    """
    return idle_share(_busy(profile))


def gpu_busy_ms(profile: Any) -> float:
    """Gives the milliseconds in which something ran on the GPU; arguments and errors as for `gpu_idle_share`."""
    intervals = _busy(profile)
    share = idle_share(intervals)
    span = max(start + duration for start, duration in intervals) - min(start for start, _ in intervals)
    return (1 - share) * span / 1000


def group_ms(profile: Any) -> dict[str, float]:
    """Gives the milliseconds of kernels by what they do; arguments as for `gpu_idle_share`."""
    found = dict.fromkeys((*GROUPS, "rest"), 0.0)
    for event in _events(profile):
        name = str(event["name"])
        group = next((key for key, parts in GROUPS.items() if any(part in name for part in parts)), "rest")
        found[group] += float(event["dur"]) / 1000
    return found


def idle_share(intervals: Iterable[tuple[float, float]]) -> float:
    """Gives the share of the time from the first start to the last end that no (start, duration) covers."""
    ordered = sorted(intervals)
    if not ordered:
        raise ValueError("nothing ran on a GPU: profile with ProfilerActivity.CUDA, and some steps of work")
    first = covered_until = ordered[0][0]
    idle = 0.0
    for start, duration in ordered:
        idle += max(start - covered_until, 0.0)
        covered_until = max(covered_until, start + duration)
    return idle / (covered_until - first) if covered_until > first else 0.0


def _busy(profile: Any) -> list[tuple[float, float]]:
    return [(float(event["ts"]), float(event["dur"])) for event in _events(profile)]


def _events(profile: Any) -> list[Mapping[str, Any]]:
    events = _exported(profile) if isinstance(profile, torch.profiler.profile) else profile
    return [event for event in events if event.get("cat") in BUSY]


def _exported(profile: Any) -> list[Mapping[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(path))
        events: list[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
        return events
