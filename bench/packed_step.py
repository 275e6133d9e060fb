"""Times a pack in this process: `python bench/packed_step.py '<case as JSON>' <width> [folder of a wave] [its size]`.

`bench/packed.py` starts it. Trials are threads with loralab's own objective, clipping and fused AdamW.
"""

from __future__ import annotations

import functools
import itertools
import json
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from bench.shapes import Case, latents_shape, prompt_embeds  # noqa: E402  found through the line above
from bench.step import GIB, TIMED_STEPS, WARM_STEPS, _alone, _arrive, _move, placed  # noqa: E402

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
        row |= _timed(own, device, width=width, wave=wave)
    except BaseException as error:
        row["failed"] = f"{type(error).__name__}: {str(error)[:300]}"
        _arrive(wave)
    print("ROW " + json.dumps(row), flush=True)


def _timed(own: Case, device: torch.device, *, width: int, wave: list[str]) -> Row:
    from loralab.memory.compiling import num_graphs
    from loralab.packed import Meeting, PackedBase

    started = time.perf_counter()
    base = PackedBase(
        placed(own, device),
        width=width,
        rank=own.rank,
        targets=["attention"],
        dtype=torch.bfloat16,
        static=own.compile,
    )
    meeting, clock = Meeting(base), _Clock(width, wave=wave, started=started)
    prompts = prompt_embeds(own, device)
    latents = torch.randn(own.batch, *latents_shape(own), device=device)
    trials = [
        threading.Thread(target=_trial, args=(own, base, meeting, slot, clock, latents, prompts))
        for slot in range(width)
    ]
    for thread in (*trials, threading.Thread(target=_closed_after, args=(trials, meeting))):
        thread.start()
    meeting.serve()
    if meeting.cause is not None or clock.failure is not None:
        raise meeting.cause or clock.failure or RuntimeError
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
    """Trains one trial, in a thread of its own."""
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
        _move(seat.shadow)
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
        for index in range(WARM_STEPS + TIMED_STEPS):
            clock.tick(index)
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
        clock.tick(WARM_STEPS + TIMED_STEPS)
    except BaseException as error:
        clock.fail(error)
    finally:
        seat.leave()


class _Clock:
    """Times the steps of all trials together, alone on the card."""

    def __init__(self, width: int, *, wave: list[str], started: float) -> None:
        self._barrier = threading.Barrier(width, action=self._together)
        self._alone, self._started = _alone(wave), started
        self._index = 0
        self._events: list[torch.cuda.Event] = []
        self.row: Row = {}
        self.failure: BaseException | None = None

    def tick(self, index: int) -> None:
        """Is told that a trial begins a step; all begin it together."""
        self._index = index
        self._barrier.wait()

    def fail(self, error: BaseException) -> None:
        """Ends the measurement for all."""
        if self.failure is None or isinstance(self.failure, threading.BrokenBarrierError):
            self.failure = error
        self._barrier.abort()

    def _together(self) -> None:
        if self._index < WARM_STEPS - 1:
            return
        if self._index == WARM_STEPS - 1:
            torch.cuda.synchronize()
            self.row["ready_s"] = round(time.perf_counter() - self._started, 2)
            self._alone.__enter__()
            torch.cuda.reset_peak_memory_stats()
            return
        self._events.append(torch.cuda.Event(enable_timing=True))
        self._events[-1].record()
        if self._index == WARM_STEPS + TIMED_STEPS:
            torch.cuda.synchronize()
            self._alone.__exit__()
            times = [one.elapsed_time(other) for one, other in itertools.pairwise(self._events)]
            self.row["ms"] = round(statistics.median(times), 4)
            self.row["peak_gib"] = round(torch.cuda.max_memory_allocated() / GIB, 4)


def _closed_after(threads: Sequence[threading.Thread], meeting: Any) -> None:
    for thread in threads:
        thread.join()
    meeting.close()


if __name__ == "__main__":
    main()
