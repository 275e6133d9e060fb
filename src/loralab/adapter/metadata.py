"""What an adapter file says about itself, in its safetensors header, under `loralab.*` keys.

Every value is a string there; an absent key is None. `FORMAT_VERSION` rises when older readers would misread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path

import loralab
from loralab.adapter.reading import read_header
from loralab.errors import UserError

FORMAT_VERSION = 1
PREFIX = "loralab."


@dataclass(frozen=True)
class AdapterMetadata:
    """Where an adapter comes from and what it belongs to.

    Attributes:
        family, model, checkpoint, revision, base_digest: the base it was trained on (its `ModelIdentity`).
        variant: of that base, `base` or `distilled`; None in files from before it was written.
        objective: how it was trained, for example `FlowMatching`; preset: of that objective, where it has such.
        rank, alpha, targets: as configured; the file's own tensors have alpha baked in.
        trigger: the word that calls the concept, or None.
        step: optimizer updates it has had.
        config_digest: SHA-256 of the resolved configuration of the run.
    """

    family: str
    model: str
    checkpoint: str
    base_digest: str
    objective: str
    rank: int
    alpha: float
    targets: str
    step: int
    config_digest: str
    revision: str | None = None
    trigger: str | None = None
    preset: str | None = None
    variant: str | None = None
    loralab_version: str = loralab.__version__
    format_version: int = FORMAT_VERSION

    def to_header(self) -> dict[str, str]:
        """Gives the `loralab.*` header entries."""
        return {PREFIX + key: str(value) for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_header(cls, header: Mapping[str, str]) -> AdapterMetadata | None:
        """Reads the entries back; None for a file that another tool wrote.

        Raises:
            UserError: if the file is of a newer format or its entries are damaged.
        """
        entries = {key.removeprefix(PREFIX): value for key, value in header.items() if key.startswith(PREFIX)}
        if not entries:
            return None
        version = entries.get("format_version", "absent")
        if version != str(FORMAT_VERSION):
            raise UserError(
                f"its format_version is {version}, this loralab reads {FORMAT_VERSION}: update loralab."
            )
        kinds = {"rank": int, "alpha": float, "step": int, "format_version": int}
        known = {field.name: field.default for field in fields(cls)}
        if missing := [
            PREFIX + key for key, default in known.items() if default is MISSING and key not in entries
        ]:
            raise UserError(f"its header lacks {', '.join(missing)}; the file is damaged.")
        try:
            return cls(**{key: kinds.get(key, str)(value) for key, value in entries.items() if key in known})
        except ValueError as error:
            raise UserError(f"its header is damaged: {error}.") from error


def read_metadata(path: str | Path) -> AdapterMetadata | None:
    """Reads what the adapter file says about itself, without its tensors; None for a file of another tool.

    Raises:
        UserError: if the file is not a readable safetensors file or is of a newer format.
    """
    return metadata_of(path, read_header(path))


def metadata_of(path: str | Path, header: Mapping[str, str]) -> AdapterMetadata | None:
    """Reads the `loralab.*` entries of a header that was already read; errors name the file."""
    try:
        return AdapterMetadata.from_header(header)
    except UserError as error:
        raise UserError(f"adapter={path} cannot be used: {error}") from error
