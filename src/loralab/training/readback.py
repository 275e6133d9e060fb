"""Numbers that a GPU computes, read by the host without waiting for what was queued after them."""

from __future__ import annotations

import torch
from torch import Tensor


class Readback:
    """A number, or a row of them, on its way to the host: reading waits for its own copy, never for later work."""

    def __init__(self, number: Tensor) -> None:
        """Starts the copy on the current stream, behind the kernels that compute the number."""
        number = number.detach()
        self._done: torch.cuda.Event | None = None
        if number.device.type != "cuda":
            self._copy = number.clone()
            return
        self._copy = torch.empty(number.shape, dtype=number.dtype, pin_memory=True)
        self._copy.copy_(number, non_blocking=True)
        # Blocking: the host sleeps while it waits, which leaves its core to the loader.
        self._done = torch.cuda.Event(blocking=True)
        self._done.record(torch.cuda.current_stream(number.device))

    def value(self) -> float:
        """Gives the number as it was when the copy was asked for."""
        return float(self._arrived().item())

    def values(self) -> list[float]:
        """Gives several numbers, where there are such."""
        return [float(number) for number in self._arrived().tolist()]

    def _arrived(self) -> Tensor:
        if self._done is not None:
            self._done.synchronize()
        return self._copy
