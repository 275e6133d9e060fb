"""Times a pack in this process: `python bench/packed_step.py '<case as JSON>' <width> [folder of a wave] [its size]`.

`bench/packed.py` starts it. Trials are threads with loralab's own objective, clipping and fused AdamW.
"""

from __future__ import annotations

import functools
import itertools
import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from bench.idle import gpu_busy_ms, group_ms, trace_of  # noqa: E402  found through the line above
from bench.shapes import Case, latents_shape, prompt_embeds  # noqa: E402
from bench.step import move, placed  # noqa: E402
from bench.timing import (  # noqa: E402
    GIB,
    PROFILED_STEPS,
    TIMED_STEPS,
    WARM_STEPS,
    Alone,
    arrive,
    elapsed_ms,
    last_lines,
)

LAST_MARK = WARM_STEPS + 1 + TIMED_STEPS
"""Index of the step at whose start the last timed one has ended."""
Row = dict[str, Any]


def main() -> None:
    """Measures and prints one JSON line."""
    measure(Case(**json.loads(sys.argv[1])), width=int(sys.argv[2]), wave=sys.argv[3:])


def measure(own: Case, *, width: int, wave: list[str]) -> None:
    """Times a pack in this process and prints one JSON line."""
    device = torch.device("cuda", 0)
    row: Row = {**vars(own), "label": own.label, "tokens": own.tokens, "width": width}
    row["device"] = torch.cuda.get_device_name(device)
    try:
        row |= timed(own, device, width=width, wave=wave)
    except BaseException as error:  # whatever it is, the others of the wave wait for this one to arrive
        row["failed"] = last_lines(error)
        arrive(wave)
    print("ROW " + json.dumps(row), flush=True)


def timed(own: Case, device: torch.device, *, width: int, wave: list[str]) -> Row:
    """Gives a step's milliseconds, the peak and how many passes had how many trials.

    Raises:
        Exception: what the first trial or the shared network has failed by; no thread is left waiting.
    """
    from loralab.memory.compiling import num_graphs
    from loralab.packed import Meeting, PackedBase
    from loralab.run.pack import SWITCH_S

    sys.setswitchinterval(SWITCH_S)
    clock = _Clock(device, width=width, wave=wave)
    base = PackedBase(
        placed(own, device),
        width=width,
        rank=own.rank,
        targets=["attention"],
        dtype=torch.bfloat16,
        static=own.compile,
    )
    meeting = Meeting(base)
    prompts = prompt_embeds(own, device)
    latents = torch.randn(own.batch, *latents_shape(own), device=device)
    trials = [
        threading.Thread(target=_trial, args=(own, base, meeting, slot, clock, latents, prompts))
        for slot in range(width)
    ]
    for thread in (*trials, threading.Thread(target=_closed_after, args=(trials, meeting))):
        thread.start()
    meeting.serve()
    if (failure := meeting.cause or clock.failure) is not None:
        raise failure
    return {**clock.row, "num_graphs": num_graphs(), "passes": meeting.num_passes}


def _trial(
    own: Case,
    base: Any,
    meeting: Any,
    slot: int,
    clock: _Clock,
    latents: torch.Tensor,
    prompts: torch.Tensor,
) -> None:
    """Trains one trial until the clock has seen enough, in a thread of its own."""
    from loralab.adapter import LoraSpec
    from loralab.data.batch import Batch
    from loralab.flow import LogitNormal
    from loralab.flow.weighting import ConstantWeighting
    from loralab.objectives import FlowMatching
    from loralab.packed import Seat

    seat = Seat(base, meeting, slot=slot)
    try:
        spec = LoraSpec(rank=own.rank, alpha=own.rank, targets="attention")
        seat.inject(spec, pattern=base.denoiser.target_pattern("attention"), seed=slot)
        move(seat.shadow)
        module = FlowMatching(
            seat.denoiser,
            sigmas=LogitNormal(mean=0.0, std=1.0),
            weighting=ConstantWeighting(),
            optimizer=functools.partial(torch.optim.AdamW, lr=1e-4 * (slot + 1), fused=True),
            schedule=functools.partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=lambda step: 1.0),
            seed=0,
        )
        parameters = [parameter for parameter in seat.shadow.parameters() if parameter.requires_grad]
        optimizer = module.configure_optimizers()["optimizer"]
        weight = torch.ones(own.batch, device=latents.device)
        clock.start.wait()
        for index in itertools.count():
            if slot == 0:
                clock.tick(index, num_whole=meeting.num_passes.get(base.width, 0))
            if clock.is_over:
                break
            batch = Batch(
                latents=latents, prompt_embeds=list(prompts), weight=weight, mask=None, index=index,
                captions=("",) * own.batch, keys=("",) * own.batch,
            )  # fmt: skip
            loss: torch.Tensor = module.training_step(batch, 0)["loss"]
            loss.backward()
            seat.differentiate()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
    except BaseException as error:  # a thread's error would be lost here; the main thread raises it
        clock.fail(error)
    finally:
        seat.leave()


class _Clock:
    """Times the pack as its first trial sees it, alone on the card.

    Trials wait for each other in the meeting and nowhere else: a barrier between steps would keep one that the meeting
    has answered from asking again, for which the others wait there. All are in one pass from the second on.
    """

    def __init__(self, device: torch.device, *, width: int, wave: list[str]) -> None:
        self.start = threading.Barrier(width)
        self.row: Row = {}
        self.failure: BaseException | None = None
        self.is_over = False
        self._device, self._alone, self._began = device, Alone(wave), time.perf_counter()
        self._marks: list[Any] = []
        self._num_whole = 0
        self._profile: Any = None

    def tick(self, index: int, *, num_whole: int) -> None:
        """Is told by the first trial that it begins a step, and how many passes had all trials so far."""
        if index == WARM_STEPS:
            self._synchronize()
            self.row["ready_s"] = round(time.perf_counter() - self._began, 2)
            self._alone.__enter__()
            if self._device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
        elif WARM_STEPS < index <= LAST_MARK:
            self._mark()
            self._num_whole = self._num_whole or num_whole
        if index == LAST_MARK:
            self._count(num_whole - self._num_whole)
            self._begin_profile()
        elif index == LAST_MARK + PROFILED_STEPS:
            self._finish()

    def fail(self, error: BaseException) -> None:
        """Ends the measurement for all."""
        if self.failure is None or isinstance(self.failure, threading.BrokenBarrierError):
            self.failure = error
        self.is_over = True
        self.start.abort()

    def _count(self, num_whole: int) -> None:
        """Gives what was timed."""
        self._synchronize()
        if num_whole != TIMED_STEPS:
            raise RuntimeError(f"only {num_whole} of {TIMED_STEPS} timed passes had all trials")
        times = sorted(elapsed_ms(one, other) for one, other in itertools.pairwise(self._marks))
        self.row |= {"ms": times[len(times) // 2], "ms_min": times[0], "ms_max": times[-1]}
        if self._device.type == "cuda":
            self.row["peak_gib"] = torch.cuda.max_memory_allocated() / GIB
            self.row["reserved_gib"] = torch.cuda.max_memory_reserved() / GIB

    def _begin_profile(self) -> None:
        activity = ProfilerActivity.CUDA if self._device.type == "cuda" else ProfilerActivity.CPU
        self._profile = profile(activities=[activity])
        self._profile.__enter__()

    def _finish(self) -> None:
        """Ends the measurement with what ran on the card in the steps since the timed ones."""
        self._synchronize()
        self._profile.__exit__(None, None, None)
        self._alone.__exit__()
        self.is_over = True
        if self._device.type == "cuda":
            trace = trace_of(self._profile)
            self.row["busy_ms"] = gpu_busy_ms(trace) / PROFILED_STEPS
            self.row["idle_share"] = max(0.0, 1 - self.row["busy_ms"] / self.row["ms"])
            self.row |= {f"{group}_ms": spent / PROFILED_STEPS for group, spent in group_ms(trace).items()}
        self.row = {key: round(value, 4) for key, value in self.row.items()}

    def _mark(self) -> None:
        if self._device.type != "cuda":
            self._marks.append(time.perf_counter())
            return
        self._marks.append(torch.cuda.Event(enable_timing=True))
        self._marks[-1].record()

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def _closed_after(threads: Sequence[threading.Thread], meeting: Any) -> None:
    for thread in threads:
        thread.join()
    meeting.close()


if __name__ == "__main__":
    main()
