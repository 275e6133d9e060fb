"""How much of a GPU's time nobody used, and what the rest went to, from a profile whose activities include CUDA.

`trace_of(profile)` reads a finished `torch.profiler.profile`; the other functions take what it gives.
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


def trace_of(profile: torch.profiler.profile) -> list[Mapping[str, Any]]:
    """Gives the events of a profile; torch lets each profile be read once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(path))
        events: list[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
        return events


def intervals_of(trace: Iterable[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Gives (start, duration) in microseconds of all that ran on the GPU."""
    return [(float(event["ts"]), float(event["dur"])) for event in _busy(trace)]


def gpu_busy_ms(trace: Iterable[Mapping[str, Any]]) -> float:
    """Gives the milliseconds in which something ran on the GPU.

    Raises:
        ValueError: if nothing did.
    """
    intervals = intervals_of(trace)
    share = idle_share(intervals)
    span = max(start + duration for start, duration in intervals) - min(start for start, _ in intervals)
    return (1 - share) * span / 1000


def group_ms(trace: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Gives the milliseconds of kernels by what they do."""
    found = dict.fromkeys((*GROUPS, "rest"), 0.0)
    for event in _busy(trace):
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


def _busy(trace: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [event for event in trace if event.get("cat") in BUSY]
