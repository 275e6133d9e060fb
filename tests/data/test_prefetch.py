from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from loralab.data.prefetch import prefetched


def counted(made: list[int], *, until: int) -> Iterator[int]:
    for number in range(until):
        made.append(number)
        yield number


@pytest.mark.parametrize("ahead", [1, 2, 20])
def test_items_come_in_their_order_and_all_of_them(ahead: int) -> None:
    assert list(prefetched(range(7), ahead=ahead)) == list(range(7))


def test_the_next_items_are_made_before_they_are_asked_for() -> None:
    is_made = threading.Event()

    def items() -> Iterator[int]:
        yield from range(2)
        is_made.set()
        yield 2

    taken = prefetched(items(), ahead=2)

    assert next(taken) == 0
    assert is_made.wait(timeout=10)
    assert list(taken) == [1, 2]


def test_no_more_is_made_than_was_agreed() -> None:
    made: list[int] = []
    taken = prefetched(counted(made, until=100), ahead=2)

    next(taken)
    taken.close()

    assert 1 <= len(made) <= 3


def test_items_are_made_in_a_thread_of_their_own_which_ends_with_the_iteration() -> None:
    taken = prefetched((threading.current_thread() for _ in range(5)), ahead=2)
    thread = next(taken)
    was_alive = thread.is_alive()

    taken.close()

    assert thread is not threading.current_thread()
    assert was_alive
    assert not thread.is_alive()


def test_what_fails_is_raised_where_the_item_would_have_come() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise OSError("the disk is gone")

    taken = prefetched(items(), ahead=3)

    assert [next(taken), next(taken), next(taken)] == [0, 1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(taken)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]
