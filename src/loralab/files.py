"""Files appear whole or not at all: written beside their place, synced, then renamed over it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.resources
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

PACKAGE_PREFIX = "package://"


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path in the same folder; moves it onto `path` if the block ends well, else removes it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:80]}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
