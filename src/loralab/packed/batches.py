"""Training batches that trials of one seed share: read once, brought to the device once.

A batch is a pure function of seed, micro-batch size and micro-step, so that trials side by side at one step ask for the
same one. The newest few are kept; who is further behind has his made again.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict

import torch
from torch.utils.data import Dataset

from loralab.data import EncodedDataset
from loralab.data.batch import Batch
from loralab.data.loader import ResumableLoader
from loralab.data.plan import Plan
from loralab.data.ram import Ram
from loralab.data.records import Bucket, Record

AHEAD = 4
"""Batches that a trial may be ahead of another, as each reads some in advance."""


class SharedBatches:
    """Gives every trial its loader."""

    def __init__(self, encoded: EncodedDataset, *, device: torch.device, width: int) -> None:
        """Keeps as many batches as `width` trials need that are not at one step."""
        self._device, self._keep = device, AHEAD * width
        ram = Ram.shared(gib=encoded.collection.ram_cache_gib, num_workers=0, pinned=device.type == "cuda")
        self._encoded = dataclasses.replace(encoded, ram=ram)
        self._made: OrderedDict[tuple[int, int, int], Batch] = OrderedDict()
        self._plans: dict[tuple[int, int], Plan[Record, Bucket]] = {}
        self._lock = threading.Lock()

    def loader(self, *, micro_batch_size: int, num_micro_steps: int, seed: int) -> ResumableLoader:
        """Gives the batches of micro-steps 0 to num_micro_steps - 1, on the device."""
        return ResumableLoader(_OneOf(self, seed, micro_batch_size, num_micro_steps))

    def batch(self, seed: int, micro_batch_size: int, index: int) -> Batch:
        """Gives a batch, on the device; equal questions within a few steps share one."""
        key = (seed, micro_batch_size, index)
        with self._lock:
            if key not in self._made:
                made = self._encoded.batch(self._plan(seed, micro_batch_size).draws(index), index=index)
                made = made.pinned() if self._device.type == "cuda" else made
                self._made[key] = made.to(self._device, non_blocking=True)
                while len(self._made) > self._keep:
                    self._made.popitem(last=False)
            return self._made[key]

    def _plan(self, seed: int, micro_batch_size: int) -> Plan[Record, Bucket]:
        key = (seed, micro_batch_size)
        if key not in self._plans:
            self._plans[key] = Plan(self._encoded.collection, seed=seed, micro_batch_size=micro_batch_size)
        return self._plans[key]


class _OneOf(Dataset[Batch]):
    """The batches of one trial, by micro-step."""

    def __init__(self, shared: SharedBatches, seed: int, micro_batch_size: int, num_micro_steps: int) -> None:
        self._shared, self._seed = shared, seed
        self._micro_batch_size, self._num_micro_steps = micro_batch_size, num_micro_steps

    def __len__(self) -> int:
        return self._num_micro_steps

    def __getitem__(self, index: int) -> Batch:
        return self._shared.batch(self._seed, self._micro_batch_size, index)
