"""Numbers that a GPU computes, read by the host without waiting for what was queued after them."""

from __future__ import annotations

import torch
from torch import Tensor


class Readback:
    """One number on its way to the host: `value` waits for the number's own copy, never for later work."""

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
        if self._done is not None:
            self._done.synchronize()
        return float(self._copy.item())
