"""Identities of components: SHA-256 over what a component is, not over how or when it was saved.

    digest = sha256(config without remarks, name and sha256 of every weight file)

Hashing tens of gigabytes takes a minute, so that digests of large files are remembered by path, size and time
of change; the hub's cache already names such files by their SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loralab.families.shared.checkpoint import weight_files
from loralab.files import atomic_write, cache_folder, sha256_file

LARGE_BYTES = 64 * 2**20


def digest_of(value: Any) -> str:
    """Gives the hex digest of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def component_digest(folder: Path, config: Mapping[str, Any]) -> str:
    """Gives the identity of a component: its configuration and the weights in `folder`."""
    return digest_of(
        {
            "config": substance(config),
            "files": {file.name: file_digest(file) for file in weight_files(folder)},
        }
    )


def folder_digest(folder: Path) -> str:
    """Gives the identity of a folder of small files, such as a tokenizer."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    return digest_of({file.relative_to(folder).as_posix(): file_digest(file) for file in files})


def substance(config: Mapping[str, Any]) -> dict[str, Any]:
    """Gives a configuration without the libraries' remarks (versions and paths at the time of saving)."""
    remarks = ("transformers_version", "dtype", "torch_dtype")
    return {
        key: substance(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if key not in remarks and (not key.startswith("_") or key == "_class_name")
    }


def file_digest(path: Path) -> str:
    """Gives a file's SHA-256, from a reliable shorter way where there is one."""
    target = path.resolve()
    if target.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", target.name):
        return target.name
    state = target.stat()
    if state.st_size < LARGE_BYTES:
        return sha256_file(target)
    note = cache_folder("digests") / f"{digest_of([str(target), state.st_size, state.st_mtime_ns])}.sha256"
    if note.is_file():
        return note.read_text().strip()
    digest = sha256_file(target)
    if os.access(_existing_parent(note), os.W_OK):
        atomic_write(note, digest)
    return digest


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.exists())
