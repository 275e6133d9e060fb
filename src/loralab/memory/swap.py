"""Frozen weights that wait in main memory and are on the device only while their block runs.

Frozen weights never change, so that they are only ever copied in one direction. A block's tensors share one storage,
which is filled by one copy from pinned memory, on a stream of its own, while the block before is computed, and which
is emptied (resized to nothing) when the block has run. Whoever holds a view of it, such as autograd's graph, sees the
weights again when they are back. (FSDP frees its parameters in the same way.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

ALIGNMENT = 256


class SwappedBlock:
    """The frozen tensors of one block: `load` starts the copy, `wait` makes sure of it, `drop` frees the memory."""

    def __init__(self, block: nn.Module, device: torch.device) -> None:
        """Moves the block's frozen tensors to main memory; what is trained in it, or joins it later, stays."""
        self._device = device
        owners = [
            (module, name, tensor)
            for module in block.modules()
            for name, tensor in [*module._parameters.items(), *module._buffers.items()]
            if tensor is not None and not tensor.requires_grad
        ]
        offsets, size = [], 0
        for _, _, tensor in owners:
            offsets.append(size)
            size += -(-tensor.numel() * tensor.element_size() // ALIGNMENT) * ALIGNMENT
        self._size = size
        self._kept = torch.empty(size, dtype=torch.uint8, pin_memory=device.type == "cuda")
        self._whole = torch.empty(size, dtype=torch.uint8, device=device)
        self._places = [
            self._adopted(module, name, tensor, offset)
            for (module, name, tensor), offset in zip(owners, offsets, strict=True)
        ]
        self._arrived: torch.cuda.Event | None = None
        self.resident = True
        self.drop()

    @property
    def num_bytes(self) -> int:
        """Bytes on the device while the block runs."""
        return self._size

    def load(self, stream: torch.cuda.Stream | None) -> None:
        """Starts the copy on `stream`, after what is queued on the current one; does nothing if it is there."""
        if self.resident:
            return
        self.resident = True
        self._whole.untyped_storage().resize_(self._size)
        for place in self._places:
            place.set(place.on_device)
        if stream is None:
            self._whole.copy_(self._kept)
            return
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            self._whole.copy_(self._kept, non_blocking=True)
            self._arrived = stream.record_event()

    def wait(self) -> None:
        """Lets the current stream go on only when the copy is complete."""
        if self._arrived is not None:
            torch.cuda.current_stream(self._device).wait_event(self._arrived)
            self._arrived = None

    def drop(self) -> None:
        """Frees the device's memory; the weights are still in main memory."""
        if self.resident:
            self.wait()
            self._whole.untyped_storage().resize_(0)
            self.resident = False
            for place in self._places:
                place.set(place.in_main_memory)

    def _adopted(self, module: nn.Module, name: str, tensor: Tensor, offset: int) -> _Place:
        """Copies a tensor to main memory and gives its two homes."""
        count = tensor.numel() * tensor.element_size()
        self._kept[offset : offset + count].copy_(tensor.detach().contiguous().reshape(-1).view(torch.uint8))
        homes = [
            whole[offset : offset + count].view(tensor.dtype).view(tensor.shape).data
            for whole in (self._whole, self._kept)
        ]
        return _Place(module, name, *homes)


@dataclass(frozen=True)
class _Place:
    """A tensor of a module and where it may be: `.data`, so that a copy is no change that autograd counts."""

    module: nn.Module
    name: str
    on_device: Tensor
    in_main_memory: Tensor

    def set(self, tensor: Tensor) -> None:
        """Makes the tensor the module's own."""
        if self.name in self.module._parameters:
            self.module.get_parameter(self.name).data = tensor
        else:
            self.module._buffers[self.name] = tensor
