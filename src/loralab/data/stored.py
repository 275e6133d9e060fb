"""Pictures that do not come as files, kept below the cache folder under the hash of their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from loralab.errors import UserError
from loralab.files import atomic_write


def store_picture(data: bytes, *, folder: Path, ending: str = ".png") -> Path:
    """Gives the path of a file with this content; writes it where there is none yet."""
    name = hashlib.sha256(data).hexdigest()
    path = folder / name[:2] / f"{name}{ending}"
    if path.is_file() and path.stat().st_size == len(data):
        return path
    try:
        return atomic_write(path, data)
    except OSError as error:
        raise UserError(
            f"dataset.cache_root: {folder} cannot be written ({error}). Point it at a folder that can."
        ) from error
