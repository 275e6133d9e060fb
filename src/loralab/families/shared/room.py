"""Room for the VAE beside a large transformer: where the device is too full, the transformer leaves it meanwhile.

At 1024x1024 the VAE, in fp32, needs several GiB for one picture. Tiles would need less, but change the picture; moving
the transformer to main memory and back takes seconds and changes nothing.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)


def each(
    function: Callable[[Tensor], Tensor],
    items: Iterable[Tensor],
    *,
    beside: nn.Module | None,
    device: torch.device,
) -> Tensor:
    """Stacks what the function gives for each item.

    Args:
        function: of one picture or its latents.
        items: its inputs.
        beside: a network that leaves the device when the memory does not suffice, until the last item is done; None
            where nothing can leave.
        device: where it comes back to.
    """
    results = []
    with contextlib.ExitStack() as until_done:
        for item in items:
            crowded = False
            try:
                results.append(function(item))
            except torch.OutOfMemoryError:
                if beside is None:
                    raise
                crowded = True
            if crowded and beside is not None:  # not in the handler, where the error holds what was computed
                until_done.enter_context(_aside(beside, device))
                results.append(function(item))
    return torch.stack(results)


@contextlib.contextmanager
def _aside(network: nn.Module, device: torch.device) -> Iterator[None]:
    _say_once()
    network.to("cpu")
    _empty_cache(device)
    try:
        yield
    finally:
        _empty_cache(device)
        network.to(device)


@functools.cache
def _say_once() -> None:
    log.info("too little memory for the VAE beside the transformer, which waits in main memory meanwhile")


def _empty_cache(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
