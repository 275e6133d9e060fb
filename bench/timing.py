"""Times the steps of one case in this process, alone on the card: shared by the benches that start such processes."""

from __future__ import annotations

import fcntl
import itertools
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bench.idle import gpu_busy_ms, trace_of

WARM_STEPS, TIMED_STEPS, PROFILED_STEPS = 3, 8, 2
GIB = 2**30
LAST_LINES = 12
WAIT_S = 150.0
"""How long a case that is ready waits for the others of its wave."""
Step = Callable[[], torch.Tensor]
Made = tuple[Step, Callable[[], dict[str, Any]]]
"""A step, and what to ask afterwards of how it was compiled."""


def measured(
    make: Callable[[], Made], device: torch.device, *, wave: list[str], beside: bool = True
) -> dict[str, Any]:
    """Gives times, memory and what was compiled; on a CPU times alone.

    Args:
        make: makes the step ready.
        device: where it runs.
        wave: the folder in which the processes of a wave meet and their number; empty for one alone.
        beside: also measure the card's bf16 rate and how long it is busy, which takes memory of its own.
    """
    on_cuda, started = device.type == "cuda", time.perf_counter()
    step, graphs = make()
    row: dict[str, Any] = {}
    if on_cuda:
        row["loaded_gib"] = torch.cuda.memory_allocated() / GIB
        row["loading_peak_gib"] = torch.cuda.max_memory_allocated() / GIB
        torch.cuda.reset_peak_memory_stats()
    row["loaded_s"] = time.perf_counter() - started
    say(f"loaded in {row['loaded_s']:.1f} s")
    for number in range(WARM_STEPS):
        loss = step()
        say(f"warm step {number + 1}: loss {float(loss):.4f}, {time.perf_counter() - started:.1f} s")
    row["ready_s"] = time.perf_counter() - started
    with Alone(wave):
        step()
        marks = [_mark(on_cuda)]
        for _ in range(TIMED_STEPS):
            loss = step()
            marks.append(_mark(on_cuda))
        if on_cuda:
            torch.cuda.synchronize()
        times = sorted(elapsed_ms(*pair) for pair in itertools.pairwise(marks))
        row |= {"ms": times[len(times) // 2], "ms_min": times[0], "ms_max": times[-1], "loss": float(loss)}
        if on_cuda:
            row["peak_gib"] = torch.cuda.max_memory_allocated() / GIB
            row["reserved_gib"] = torch.cuda.max_memory_reserved() / GIB
        if on_cuda and beside:
            row["bf16_tflops"] = _matmul_tflops(device)
            row["busy_ms"] = _busy_ms(step)
            row["idle_share"] = max(0.0, 1 - row["busy_ms"] / row["ms"])
    return {
        key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()
    } | graphs()


def say(line: str) -> None:
    """Prints a line with the time since the process began, so that a run that was cut tells where it was."""
    print(f"[{time.monotonic() - _BEGAN:6.1f} s] {line}", flush=True)


def last_lines(error: BaseException) -> str:
    """Gives the end of an error's traceback: what went wrong, and where."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(lines[-LAST_LINES:])[-LAST_LINES * 100 :]


def arrive(wave: list[str]) -> None:
    """Lets nobody of the wave wait for this process."""
    if wave:
        Path(wave[0]).mkdir(parents=True, exist_ok=True)
        (Path(wave[0]) / str(os.getpid())).touch()


class Alone:
    """Waits until all of the wave are ready, then holds the card alone."""

    def __init__(self, wave: list[str]) -> None:
        """Takes the folder of the wave and its size, or nothing."""
        self._wave = wave
        self._lock: Any = None

    def __enter__(self) -> None:
        if not self._wave:
            return
        arrive(self._wave)
        started = time.monotonic()
        while len(list(Path(self._wave[0]).iterdir())) < int(self._wave[1]):
            if time.monotonic() - started > WAIT_S:
                break
            time.sleep(0.1)
        self._lock = open(f"{self._wave[0]}.lock", "w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def __exit__(self, *error: object) -> None:
        if self._lock is not None:
            self._lock.close()


_BEGAN = time.monotonic()


def _mark(on_cuda: bool) -> Any:
    if not on_cuda:
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def elapsed_ms(one: Any, other: Any) -> float:
    """Gives the milliseconds from a mark to another: CUDA events, or seconds of the host's clock."""
    return 1000 * (other - one) if isinstance(one, float) else float(one.elapsed_time(other))


def _matmul_tflops(device: torch.device) -> float:
    """The rate of a bf16 product of 8192^3 in this very run."""
    x = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    for count in (3, 10):
        events[0].record()
        for _ in range(count):
            x @ x
        events[1].record()
    events[1].synchronize()
    return 10 * 2 * 8192**3 / events[0].elapsed_time(events[1]) / 1e9


def _busy_ms(step: Step) -> float:
    """Milliseconds of a step in which something ran on the device; the profiler slows the host, not the kernels."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(PROFILED_STEPS):
            step()
        torch.cuda.synchronize()
    return gpu_busy_ms(trace_of(profiler)) / PROFILED_STEPS
