"""Computes what a cache misses, in pieces that fit the memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from loralab.data.cache import Address, Cache
from loralab.data.progress import progress_bar
from loralab.errors import UserError

Item = TypeVar("Item")
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Work(Generic[Item]):
    """One kind of tensor to have in the cache.

    Attributes:
        label: what the progress bar says.
        compute: gives a tensor for each item of a piece.
        at_once: how many items like this one make a piece.
        group: items of a piece have the same group; they should come sorted by it.
        release: frees what `compute` needed; called only if it was used.
    """

    label: str
    compute: Callable[[list[Item]], list[Tensor]]
    at_once: Callable[[Item], int] = lambda _: 1
    group: Callable[[Item], object] = lambda _: None
    release: Callable[[], None] = lambda: None


def fill(
    cache: Cache, work: Work[Item], *, items: Iterable[tuple[Address, Item]], show_progress: bool = True
) -> int:
    """Computes and keeps what is missing; gives how many that were."""
    missing = _missing(cache, items)
    if not missing:
        return 0
    cache.check_writable()
    try:
        with progress_bar(work.label, total=len(missing), shown=show_progress) as bar:
            for piece in _pieces(missing, work):
                left = _missing(cache, piece)  # another process may have been faster
                for (address, item), tensor in zip(
                    left, _halving(work, [item for _, item in left]), strict=True
                ):
                    _keep(cache, address, tensor, item=item)
                bar.update(len(piece))
    finally:
        work.release()
    return len(missing)


def _missing(cache: Cache, items: Iterable[tuple[Address, Item]]) -> list[tuple[Address, Item]]:
    return [(address, item) for address, item in items if cache.read(address) is None]


def _pieces(items: Sequence[tuple[Address, Item]], work: Work[Item]) -> Iterator[list[tuple[Address, Item]]]:
    piece: list[tuple[Address, Item]] = []
    for address, item in items:
        if piece and (work.group(item) != work.group(piece[0][1]) or len(piece) >= work.at_once(item)):
            yield piece
            piece = []
        piece.append((address, item))
    if piece:
        yield piece


def _halving(work: Work[Item], items: list[Item]) -> list[Tensor]:
    """Computes all at once, or in halves where the memory does not suffice."""
    if not items:
        return []
    try:
        return work.compute(items)
    except torch.OutOfMemoryError:
        if len(items) == 1:
            raise
        log.warning("%s: %d at once do not fit into the memory, halving", work.label, len(items))
    torch.cuda.empty_cache()
    middle = len(items) // 2
    return _halving(work, items[:middle]) + _halving(work, items[middle:])


def _keep(cache: Cache, address: Address, tensor: Tensor, *, item: object) -> None:
    if not torch.isfinite(tensor).all():
        what = item[0].path if isinstance(item, tuple) else repr(item)
        raise UserError(f"The encoder gives NaN or Inf for {what}. Try memory.precision=fp32.")
    cache.write(address, tensor)
