"""What checkpointing keeps of each block, moved to main memory until the backward pass comes back to the block.

The copies run beside the computation: out while the next blocks are computed, back while the block after is
differentiated. Pinned memory is allocated at the first step and used again at every later one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils import _pytree as pytree

SMALLEST_BYTES = 2**20
"""Smaller tensors stay: their copies would cost more than their memory."""


class OffloadedActivations:
    """Moves out what autograd saves of blocks, and back before it reads it."""

    def __init__(self, device: torch.device) -> None:
        """Keeps nothing yet."""
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._pinned: dict[tuple[int, int], Tensor] = {}
        self._waiting: dict[int, list[_Saved]] = {}

    @contextlib.contextmanager
    def kept(self, index: int, block: nn.Module, *, inputs: Any) -> Iterator[None]:
        """Within it, what autograd saves of block `index` goes to main memory.

        Weights stay, and so do inputs that are no activations of this block alone (rotations, modulation).
        """
        shared = [
            leaf for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, Tensor) and not leaf.requires_grad
        ]
        staying = {tensor.data_ptr() for tensor in (*block.parameters(), *block.buffers(), *shared)}
        moved: dict[tuple[int, torch.Size], tuple[StorageWeakRef, _Saved]] = {}
        waiting = self._waiting[index] = []

        def pack(tensor: Tensor) -> Any:
            if tensor.nbytes < SMALLEST_BYTES or tensor.data_ptr() in staying or not tensor.is_contiguous():
                return tensor
            key = (tensor.data_ptr(), tensor.shape)
            # A tensor may lie where another did that was freed meanwhile.
            if key not in moved or moved[key][0].expired():
                waiting.append(self._moved(index, len(waiting), tensor.detach()))
                moved[key] = (StorageWeakRef(tensor.untyped_storage()), waiting[-1])
            return moved[key][1]

        with torch.autograd.graph.saved_tensors_hooks(pack, _unpacked):
            yield

    def fetch(self, index: int) -> None:
        """Starts the way back of what was kept for a block."""
        for saved in self._waiting.get(index, ()):
            saved.start()

    def _moved(self, index: int, place: int, tensor: Tensor) -> _Saved:
        key = (index, place)
        if key not in self._pinned or self._pinned[key].nbytes < tensor.nbytes:
            self._pinned[key] = torch.empty(
                tensor.nbytes, dtype=torch.uint8, pin_memory=self._stream is not None
            )
        target = self._pinned[key][: tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        if self._stream is None:
            target.copy_(tensor)
        else:
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(self._stream):
                target.copy_(tensor, non_blocking=True)
            tensor.record_stream(self._stream)
        return _Saved(target, self._device, self._stream)


class _Saved:
    """A tensor in main memory on its way there or back."""

    def __init__(self, kept: Tensor, device: torch.device, stream: torch.cuda.Stream | None) -> None:
        self._kept, self._device, self._stream = kept, device, stream
        self._back: Tensor | None = None
        self._arrived: torch.cuda.Event | None = None

    def start(self) -> None:
        """Starts the way back."""
        if self._back is not None:
            return
        self._back = torch.empty_like(self._kept, device=self._device)
        if self._stream is None:
            self._back.copy_(self._kept)
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            self._back.copy_(self._kept, non_blocking=True)
            self._arrived = self._stream.record_event()

    def value(self) -> Tensor:
        """Gives the tensor on the device."""
        self.start()
        if self._arrived is not None:
            torch.cuda.current_stream(self._device).wait_event(self._arrived)
            self._arrived = None
        assert self._back is not None
        back, self._back = self._back, None
        return back


def _unpacked(saved: Any) -> Tensor:
    return saved.value() if isinstance(saved, _Saved) else saved
