"""Files appear whole or not at all: written beside their place, synced, then renamed over it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.resources
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

PACKAGE_PREFIX = "package://"
LEFTOVER = re.compile(r"\..+\.(?P<pid>\d+)\.[0-9a-f]{8}\.tmp")
"""How `atomic_path` names what is not whole yet."""


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path in the same folder; moves it onto `path` if the block ends well, else removes it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    stem = os.fsencode(path.name)[:80].decode(errors="ignore")  # names are limited in bytes
    temporary = path.with_name(f".{stem}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: str | Path) -> list[Path]:
    """Removes what `atomic_path` was writing below a folder when its process was killed; gives what was removed.

    A file of a process that lives on this machine stays: it may be about to be renamed.
    """
    removed = []
    for path in Path(folder).rglob(".*.tmp"):
        match = LEFTOVER.fullmatch(path.name)
        if match and not _is_alive(int(match["pid"])):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def atomic_write(path: str | Path, data: bytes | str) -> Path:
    """Writes `data` to `path` atomically; text is UTF-8. Returns the path."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
    return Path(path)


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's content, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def package_path(location: str) -> Path | None:
    """Gives the path behind `package://<package>/<path>`; None for any other location.

    Raises:
        ModuleNotFoundError: if there is no such package.
    """
    if not location.startswith(PACKAGE_PREFIX):
        return None
    package, _, inside = location.removeprefix(PACKAGE_PREFIX).partition("/")
    return Path(str(importlib.resources.files(package))) / inside


def cache_folder(name: str) -> Path:
    """Gives where a kind of thing is remembered over runs: below XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loralab" / name
