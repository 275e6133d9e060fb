"""Batches in the order of their micro-steps, from any of them on.

The position is the number of batches handed out. Lightning keeps it in its checkpoints (stateful-loader
protocol) and gives it back, so that a resumed run goes on at the very micro-step at which the interrupted
one stopped, also within an accumulated step and with workers that have read ahead.

A thread makes the next batches while the present one is trained on: reading, stacking and page-locking never stand
between two steps.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from loralab.data.batch import AnyBatch
from loralab.data.prefetch import prefetched
from loralab.errors import UserError

AHEAD = 2
"""Batches that are ready before they are asked for: one would do if reading took the same time always."""


class ResumableLoader:
    """Iterates over the batches of a map-style data set once; a second iteration starts over."""

    def __init__(self, batches: Dataset[Any], *, num_workers: int = 0, pinned: bool = False) -> None:
        """Reads with so many processes beside the thread; pinned batches are page-locked, for a GPU."""
        self._batches, self._num_workers, self._pinned = batches, num_workers, pinned
        self._first = 0
        self._position = 0

    def __len__(self) -> int:
        return len(self._batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[AnyBatch]:
        self._position, self._first = self._first, 0
        loader = DataLoader(
            self._batches,
            batch_size=None,
            sampler=range(self._position, len(self)),
            num_workers=self._num_workers,
            generator=torch.Generator(),  # else torch's own generator would be drawn from
        )
        ready = map(operator.methodcaller("pinned"), loader) if self._pinned else loader
        with contextlib.closing(prefetched(ready, ahead=AHEAD)) as batches:
            for batch in batches:
                self._position += 1
                yield batch

    def state_dict(self) -> dict[str, int]:
        """Gives the position, for a checkpoint."""
        return {"position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Makes the next iteration start at the position of a checkpoint."""
        if state["position"] > len(self):
            raise UserError(
                f"The checkpoint stands at micro-step {state['position']}, this run ends at {len(self)}. "
                "Resume with at least as many steps as the interrupted run had."
            )
        self._first = self._position = state["position"]
