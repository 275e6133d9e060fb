"""A journal file that outlives its writers: the lock of one that dies is free at once, and its half line is cut off.

Optuna's own locks are files that a dying process leaves behind (the next one waits for half a minute), and a line that
was cut short would make everything after it unreadable.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock

BLOCK = 1 << 16


class JournalLock(BaseJournalFileLock):
    """Lets one process at a time append to a journal file, whose last line is whole when it may."""

    def __init__(self, path: Path) -> None:
        """Locks a file beside `path`."""
        self._path = path
        self._lock = FileLock(path.with_name(path.name + ".writes.lock"))

    def acquire(self) -> bool:
        """Waits for the lock."""
        self._lock.acquire()
        cut_torn_line(self._path)
        return True

    def release(self) -> None:
        """Gives the lock back."""
        self._lock.release()


def open_journal(path: Path) -> JournalStorage:
    """Opens the storage in a journal file."""
    return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalLock(path)))


def cut_torn_line(path: Path) -> None:
    """Removes what stands after the last line's end, as a process leaves that is killed while it writes."""
    with path.open("rb+") as file:
        size = end = file.seek(0, 2)
        while end > 0:
            start = max(end - BLOCK, 0)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
