"""Makes the next items while the present one is used."""

from __future__ import annotations

import collections
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
END = object()


def prefetched(items: Iterable[Item], *, ahead: int) -> Generator[Item, None, None]:
    """Yields the items in their order; a thread makes up to `ahead` of them before they are asked for.

    What fails in the thread is raised where the item would have come. The thread ends with the iteration, also where
    that is closed early.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
        pending = collections.deque(thread.submit(next, source, END) for _ in range(ahead))
        try:
            while (item := pending.popleft().result()) is not END:
                pending.append(thread.submit(next, source, END))
                yield item  # type: ignore[misc]
        finally:
            for future in pending:
                future.cancel()
