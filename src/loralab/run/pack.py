"""Runs trials beside each other in one process: one resident base, a thread for each trial, a slot for each thread.

Every trial is the run of `loralab.run`, with its own optimizer, schedule, files and study; only the base's passes are
taken together. A slot that is free is taken by the next trial at the next step of the others.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lightning
from omegaconf import DictConfig

from loralab.config import build
from loralab.data import EncodedDataset
from loralab.errors import UserError
from loralab.packed import Meeting, PackedBase, Seat, SharedBatches
from loralab.planning.packed import Packs
from loralab.quiet import quiet_libraries
from loralab.run.alike import differing, unpackable
from loralab.run.experiment import encoded_for, run
from loralab.run.place import Place
from loralab.training.interrupt import Interrupt
from loralab.training.trainer import warnings_expected

log = logging.getLogger("loralab")
SWITCH_S = 0.0005
"""How long a trial's thread may hold the others up: Python's own 5 ms are several kernels' launches."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run to do.

    Attributes:
        config: composed as for train.py.
        root: its folder.
        overrides: what was typed.
    """

    config: DictConfig
    root: Path
    overrides: Sequence[str]


class Pack:
    """A base and its slots; `work` is called by trials' threads, `serve` by one of its own."""

    def __init__(self, config: DictConfig, *, width: int, rank: int, targets: Sequence[str]) -> None:
        """Loads the base and encodes the pictures that all trials share.

        Args:
            config: of any of the trials.
            width: trials at a time.
            rank: the largest of any trial.
            targets: all `adapter.targets` of trials.

        Raises:
            UserError: for a configuration that cannot run, or not in a pack.
        """
        if (reason := unpackable(config)) is not None:
            raise UserError(f"this run cannot be packed: {reason}")
        quiet_libraries()
        self._config, self.width = config, width
        experiment = build(config)
        lightning.seed_everything(config.seed, verbose=False)
        packs = Packs.of(experiment, config, rank=rank, targets=targets)
        self._decision = packs.decision(width)
        placement = self._decision.placement
        packs.denoiser.place(placement)
        self._encoded = encoded_for(config, experiment)
        assert isinstance(self._encoded.dataset, EncodedDataset)
        self._base = PackedBase(
            packs.denoiser,
            width=width,
            rank=rank,
            targets=targets,
            dtype=placement.dtype,
            static=placement.compile,
        )
        self._batches = SharedBatches(self._encoded.dataset, device=packs.device, width=width)
        self._meeting = Meeting(self._base)
        self._free: queue.Queue[int] = queue.Queue()
        for slot in range(width):
            self._free.put(slot)
        self._places: dict[Path, Place] = {}
        self._is_stopping = False

    def unfit(self, config: DictConfig) -> str | None:
        """Says why a run cannot take a slot; None where it can."""
        return (
            unpackable(config) or differing(config, self._config) or self._base.unfit(build(config).adapter)
        )

    def work(self, job: Job) -> None:
        """Trains one trial, in the calling thread, as soon as there is a slot; raises what its run raises."""
        if (reason := self.unfit(job.config)) is not None:
            raise UserError(f"{job.root} cannot train in this pack: {reason}")
        slot = self._free.get()
        try:
            with self._placed(slot, job.root) as place, _console(job.root):
                run(job.config, root=job.root, overrides=job.overrides, place=place)
        finally:
            self._free.put(slot)

    def stop(self, root: Path | None = None) -> None:
        """Asks one trial, or all and those to come, to save a checkpoint and end at their next step."""
        self._is_stopping = self._is_stopping or root is None
        for path, place in list(self._places.items()):
            if root is None or path == root:
                place.stop()

    def serve(self, *, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Takes the trials' passes until `close`; threads of trials start after this was called."""
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        try:
            with warnings_expected():
                self._meeting.serve(meanwhile=meanwhile)
        finally:
            sys.setswitchinterval(interval)

    def close(self) -> None:
        """Lets `serve` return when the last trial has left."""
        self._meeting.close()

    @property
    def num_passes(self) -> dict[int, int]:
        """How many training passes had how many trials."""
        return dict(sorted(self._meeting.num_passes.items()))

    @property
    def failure(self) -> str | None:
        """Why the shared network answers no more."""
        return self._meeting.failure

    @contextmanager
    def _placed(self, slot: int, root: Path) -> Iterator[Place]:
        seat = Seat(self._base, self._meeting, slot=slot)
        place = Place(
            seat=seat,
            width=self.width,
            batches=self._batches,
            interrupt=Interrupt(signals=()),
            encoded=self._encoded,
            decision=self._decision,
        )
        self._places[root] = place
        if self._is_stopping:
            place.stop()
        try:
            yield place
        finally:
            seat.leave()
            self._base.vacate(slot)
            del self._places[root]


def run_all(pack: Pack, jobs: Sequence[Job]) -> list[BaseException | None]:
    """Runs jobs in a pack, from the calling thread, and gives what each ended with; None is a run that went well."""
    ends: list[BaseException | None] = [None] * len(jobs)
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(jobs)):
        waiting.put(index)

    def works() -> None:
        while True:
            try:
                index = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                pack.work(jobs[index])
            except (Exception, SystemExit) as error:
                ends[index] = error

    threads = [threading.Thread(target=works) for _ in range(min(pack.width, len(jobs)))]

    def ending() -> None:
        for thread in threads:
            thread.join()
        pack.close()

    for thread in (*threads, threading.Thread(target=ending)):
        thread.start()
    pack.serve()
    return ends


@contextmanager
def _console(root: Path) -> Iterator[None]:
    """Writes what this thread logs to the run's console.log as well, as a process of its own would have."""
    root.mkdir(parents=True, exist_ok=True)
    own = threading.get_ident()
    handler = logging.FileHandler(root / "console.log")
    handler.addFilter(lambda record: record.thread == own)
    logging.getLogger("loralab").addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger("loralab").removeHandler(handler)
        handler.close()
