"""Room for the VAE beside a large transformer: where the device is too full, the transformer leaves it meanwhile.

At 1024x1024 the VAE, in fp32, needs several GiB for one picture. Moving the transformer to main memory and back takes
seconds and changes nothing. Where even that does not suffice, a picture is decoded in tiles, which overlap and fade
into each other. They need a fraction of the memory, but each is normalised by itself, so that the picture differs a
little. Pictures are never encoded in tiles: latents are made once and regressed for ever.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)
TILES = (512, 256)
"""Sides of tiles in pixels, in the order in which they are tried."""


def each(
    function: Callable[[Tensor], Tensor],
    items: Iterable[Tensor],
    *,
    beside: nn.Module | None,
    decoder: Any | None,
    device: torch.device,
) -> Tensor:
    """Stacks what the function gives for each item; once the memory has not sufficed, later items are done alike.

    Args:
        function: of one picture or its latents.
        items: its inputs.
        beside: a network that leaves the device when the memory does not suffice, until the last item is done; None
            where there is none.
        decoder: the diffusers autoencoder that decodes in tiles when the memory does not suffice even so; None where it
            may not.
        device: where it comes back to.

    Raises:
        torch.OutOfMemoryError: if nothing of it suffices.
    """
    ways = [] if beside is None else [_aside(beside, device)]
    ways += [] if decoder is None else [_in_tiles(decoder, device, side=side) for side in TILES]
    return torch.stack(retried(function, items, ways))


def retried(
    function: Callable[[Tensor], Tensor],
    items: Iterable[Tensor],
    ways: Iterable[contextlib.AbstractContextManager[None]],
) -> list[Tensor]:
    """Lists what the function gives for each item, inside one more of the ways whenever the memory does not suffice.

    Args:
        function: of an item.
        items: its inputs.
        ways: what makes room, in the order in which it is tried; a way that was taken lasts until the last item.

    Raises:
        torch.OutOfMemoryError: if all of them do not suffice.
    """
    results, remaining = [], list(ways)
    with contextlib.ExitStack() as until_done:
        for item in items:
            while True:
                try:
                    results.append(function(item))
                    break
                except torch.OutOfMemoryError:
                    if not remaining:
                        raise
                # not in the handler, where the error holds what was computed
                until_done.enter_context(remaining.pop(0))
    return results


@contextlib.contextmanager
def _aside(network: nn.Module, device: torch.device) -> Iterator[None]:
    say_once("too little memory for the VAE beside the transformer, which waits in main memory meanwhile")
    present = [
        tensor for tensor in (*network.parameters(), *network.buffers()) if tensor.device.type == device.type
    ]  # weights of swapped blocks wait in main memory already, and stay there
    _move(present, torch.device("cpu"))
    empty_cache(device)
    try:
        yield
    finally:
        empty_cache(device)
        _move(present, device)


def _move(tensors: Iterable[Tensor], device: torch.device) -> None:
    for tensor in tensors:
        tensor.data = tensor.data.to(device)


@contextlib.contextmanager
def _in_tiles(vae: Any, device: torch.device, *, side: int) -> Iterator[None]:
    say_once(
        f"too little memory to decode a whole picture: the VAE goes by overlapping tiles of {side} pixels, which"
        " changes the picture a little"
    )
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    empty_cache(device)
    with altered(vae, use_tiling=True, tile_sample_min_size=side, tile_latent_min_size=side // factor):
        yield


@contextlib.contextmanager
def altered(vae: Any, **settings: Any) -> Iterator[None]:
    """Gives a diffusers autoencoder other attributes inside the block, such as those of its tiles."""
    before = {name: getattr(vae, name) for name in settings}
    vars(vae).update(settings)
    try:
        yield
    finally:
        vars(vae).update(before)


@functools.cache
def say_once(message: str) -> None:
    """Logs a line, the first time only."""
    log.info(message)


def empty_cache(device: torch.device) -> None:
    """Gives back what the device's allocator holds and nobody uses."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
