"""Encoded tensors on disk, found by what they were made from.

A file's place is `<root>/<kind>/<fingerprint>/<key>`: the fingerprint names the encoder, the key names the
input, so that another encoder, template, bucket or picture is another file and nothing is ever mixed. Files
appear whole (renamed into place) and carry a checksum over their tensors: a damaged one reads as missing.
Any number of processes may share a root.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from loralab.errors import UserError
from loralab.files import atomic_write

Kind = Literal["latents", "audio", "prompts", "masks"]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Address:
    """What a cached tensor was made from and by.

    Attributes:
        kind: what it is.
        fingerprint: identity of the encoder and of the preparation before it, hex.
        key: identity of the input, hex.
    """

    kind: Kind
    fingerprint: str
    key: str


def digest(*parts: object) -> str:
    """Gives the SHA-256 of its parts, hex; the boundaries between parts count."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()


@dataclass(frozen=True)
class Cache:
    """Reads and writes tensors by address.

    Attributes:
        root: its folder, made at the first write.
    """

    root: Path

    def path(self, address: Address) -> Path:
        """Gives the file of an address."""
        folder = self.root / address.kind / address.fingerprint[:16] / address.key[:2]
        return folder / f"{address.key}.safetensors"

    def read(self, address: Address) -> Tensor | None:
        """Gives the tensor, or None where there is none or it is damaged (which is logged)."""
        from safetensors import SafetensorError, safe_open

        path = self.path(address)
        try:
            with safe_open(path, framework="pt") as file:
                header, tensor = file.metadata(), file.get_tensor("value")
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError) as error:
            log.warning("cache file %s is damaged and counts as missing: %s", path, error)
            return None
        if header != _header(address, tensor):
            log.warning("cache file %s is damaged or not what its name says, and counts as missing", path)
            return None
        return tensor

    def write(self, address: Address, tensor: Tensor) -> None:
        """Keeps a tensor; what was there is replaced."""
        from safetensors.torch import save

        tensor = tensor.detach().cpu().contiguous()
        try:
            atomic_write(self.path(address), save({"value": tensor}, metadata=dict(_header(address, tensor))))
        except OSError as error:
            raise UserError(_unwritable(self.root, error)) from error

    def check_writable(self) -> None:
        """Refuses a folder that cannot be written, before hours of encoding for it."""
        try:
            atomic_write(self.root / ".writable", b"").unlink(missing_ok=True)
        except OSError as error:
            raise UserError(_unwritable(self.root, error)) from error


def _unwritable(root: Path, error: OSError) -> str:
    return (
        f"dataset.cache_root={root} cannot be written ({error}). "
        "Point cache_root at a folder that can, with space for the encoded set."
    )


def _header(address: Address, tensor: Tensor) -> Mapping[str, str]:
    content = (
        hashlib.sha256(tensor.reshape(-1).view(torch.uint8).numpy().data).hexdigest()
        if tensor.numel()
        else ""
    )
    return {"kind": address.kind, "fingerprint": address.fingerprint, "key": address.key, "sha256": content}
