"""Runs the repeated blocks of a transformer: checkpointed, compiled, their weights and inputs kept elsewhere.

`install` puts itself in the place of every block's `forward`, so that it serves training, validation and previews
alike and no module changes its name. A block of diffusers is one whose class the model lists as repeated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from loralab.memory.activations import OffloadedActivations
from loralab.memory.checkpointing import checkpointed
from loralab.memory.compiling import Compiled
from loralab.memory.swap import SwappedBlock


def repeated_blocks(transformer: nn.Module) -> list[nn.Module]:
    """Lists the blocks in the order of their registration, which is the order of their calls."""
    names = set(transformer._repeated_blocks)  # type: ignore[arg-type]
    return [module for module in transformer.modules() if type(module).__name__ in names]


def evenly(count: int, *, among: int) -> set[int]:
    """Gives `count` of the numbers below `among`, spread so that copies have the most time between them."""
    return {(2 * index + 1) * among // (2 * count) for index in range(count)}


class Blocks:
    """What runs a transformer's blocks."""

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        *,
        device: torch.device,
        checkpointing: str,
        compile: bool,
        plain: Collection[int] = (),
        swapped: Collection[int] = (),
        offload_activations: bool = False,
    ) -> None:
        """Takes the blocks over; what of them is frozen now is what is swapped.

        Args:
            blocks: in the order of their calls.
            device: where they run.
            checkpointing: full, selective or none.
            compile: compile each kind of block.
            plain: numbers of the blocks that keep everything whatever `checkpointing` says.
            swapped: numbers of the blocks whose frozen weights wait in main memory.
            offload_activations: what checkpointing keeps of a block waits there for the backward pass.
        """
        self._call = Compiled(_call) if compile else _call
        self._mode, self._plain = checkpointing, frozenset(plain)
        self._blocks = list(blocks)
        self._trained: dict[int, bool] = {}
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._swapped = {index: SwappedBlock(self._blocks[index], device) for index in sorted(swapped)}
        self._kept = OffloadedActivations(device) if offload_activations else None
        for index, block in enumerate(self._blocks):
            block.forward = functools.partial(self._run, index)

    def remark(self) -> str:
        """Says what the log should know besides."""
        return f"; {len(self._swapped)} of {len(self._blocks)} blocks are swapped" if self._swapped else ""

    def _run(self, index: int, *args: Any, **kwargs: Any) -> Any:
        if not self._swapped and self._kept is None:
            return self._called(index, args, kwargs)
        learning = torch.is_grad_enabled()
        if learning:
            args, kwargs = _marked(functools.partial(self._drop, index), (args, kwargs))
        self._fetch(index, towards=1)
        if learning and self._kept is not None:
            with self._kept.kept(index, self._blocks[index], inputs=(args, kwargs)):
                result = self._called(index, args, kwargs)
        else:
            result = self._called(index, args, kwargs)
        last = index == len(self._blocks) - 1
        if not (learning and last):
            self._drop(index)
        return _marked(functools.partial(self._before_backward, index), result) if learning else result

    def _called(self, index: int, args: Any, kwargs: Any) -> Any:
        block = self._blocks[index]
        repeats = index not in self._plain and self._learns(index, (args, kwargs))
        mode = self._mode if repeats else "none"
        return self._call(mode, type(block).forward, block, args, kwargs)

    def _learns(self, index: int, inputs: Any) -> bool:
        """Says whether a block will have a backward pass; what holds of its parameters is looked up once."""
        if not torch.is_grad_enabled():
            return False
        if index not in self._trained:
            self._trained[index] = any(p.requires_grad for p in self._blocks[index].parameters())
        leaves = pytree.tree_leaves(inputs)
        return self._trained[index] or any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in leaves)

    def _fetch(self, index: int, *, towards: int) -> None:
        """Makes sure of a block's weights and starts the copy of the next one's in that direction."""
        if index in self._swapped:
            self._swapped[index].load(self._stream)
            self._swapped[index].wait()
        following = [other for other in self._swapped if (other - index) * towards > 0]
        if following:
            self._swapped[min(following, key=lambda other: abs(other - index))].load(self._stream)

    def _drop(self, index: int) -> None:
        if index in self._swapped:
            self._swapped[index].drop()

    def _before_backward(self, index: int) -> None:
        """Is told when the gradient reaches a block's output; `_drop` is, when it has reached the input."""
        self._fetch(index, towards=-1)
        if self._kept is not None:
            self._kept.fetch(index)
            self._kept.fetch(index - 1)


def _call(mode: str, forward: Callable[..., Any], block: nn.Module, args: Any, kwargs: Any) -> Any:
    """Calls a block by its class's own forward, as the block's own is ours."""

    def body(*inputs: Any, **named: Any) -> Any:
        return forward(block, *inputs, **named)

    return checkpointed(mode, body, *args, **kwargs)


class _Mark(torch.autograd.Function):
    """The identity, which tells when the gradient of what passes through it is there."""

    @staticmethod
    def forward(ctx: Any, tell: Callable[[], None], *tensors: Tensor) -> Any:
        ctx.tell = tell
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        ctx.tell()
        return None, *gradients


def _marked(tell: Callable[[], None], values: Any) -> Any:
    """Passes every tensor with a gradient through a mark, wherever it is nested."""
    leaves, spec = pytree.tree_flatten(values)
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.requires_grad]
    if places:
        marked = _Mark.apply(tell, *[leaves[place] for place in places])
        for place, tensor in zip(places, marked, strict=True):
            leaves[place] = tensor
    return pytree.tree_unflatten(leaves, spec)
