"""Tensors that were read once and stay in memory, as many as fit.

What came first stays and nothing is replaced: where a share f of the data fits, a share f of the readings is saved.
Keeping what was read last would save less, since every epoch has an order of its own: at places u and v of two epochs,
an item has all others in between but the u (1 - v) that came before it both times, and it would be found if those are
more than 1 - f. That has the probability 1 - (1 - f) (1 - ln(1 - f)), which is 0.15 at f = 0.5.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from loralab.data.cache import Address


class Ram:
    """Keeps tensors by address, up to so many bytes; equal addresses share one tensor, which nobody may change."""

    def __init__(self, *, num_bytes: int, pinned: bool = False) -> None:
        """Starts empty; pinned tensors are page-locked, for copies to a GPU that the host need not wait for."""
        self._free_bytes, self._pinned = num_bytes, pinned
        self._tensors: dict[Address, Tensor] = {}

    @classmethod
    def shared(cls, *, gib: float, num_workers: int, pinned: bool) -> Ram:
        """Gives each of the processes that read its own part; only this one may use page-locked memory."""
        return cls(num_bytes=int(gib * 2**30) // max(num_workers, 1), pinned=pinned and not num_workers)

    def get(self, address: Address, read: Callable[[Address], Tensor]) -> Tensor:
        """Gives what is kept, or else what `read` gives, and keeps it where there is room."""
        if address in self._tensors:
            return self._tensors[address]
        tensor = read(address)
        size = self._size(tensor)
        if size > self._free_bytes:
            return tensor
        self._free_bytes -= size
        # A copy of our own: what was read may still be a view of its file.
        self._tensors[address] = tensor.pin_memory() if self._pinned else tensor.clone()
        return self._tensors[address]

    def _size(self, tensor: Tensor) -> int:
        """Bytes that keeping it takes: torch rounds page-locked memory up to powers of two."""
        return 1 << (tensor.nbytes - 1).bit_length() if self._pinned and tensor.nbytes else tensor.nbytes
