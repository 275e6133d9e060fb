"""The assistant's file: on disk or on the hub, and of the right checkpoint."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from loralab.adapter import AdapterMetadata
from loralab.denoiser import ModelIdentity
from loralab.errors import UserError
from loralab.files import package_path

HUB_ID = re.compile(
    r"(?P<repository>[\w.-]+/[\w.-]+)(?:/(?P<file>[\w./-]+\.safetensors))?(?:@(?P<revision>[\w./-]+))?"
)

log = logging.getLogger(__name__)


def assistant_file(location: str) -> Path:
    """Gives the file behind `objective.assistant`: a path, `package://<package>/<path>`, or a hub id.

    A hub id is `owner/name[/file.safetensors][@revision]`.

    Raises:
        UserError: if there is none, or a repository holds several.
    """
    try:
        path = package_path(location) or Path(location).expanduser()
    except ModuleNotFoundError as error:
        raise UserError(f"objective.assistant={location}: there is no Python package {error.name}") from error
    if path.exists():
        return path
    found = HUB_ID.fullmatch(location)
    if found is None or location.startswith(("/", "./", "../", "~")):
        raise UserError(f"objective.assistant={location} does not exist (looked in {path.parent.resolve()})")
    return _fetched(location, found["repository"], file=found["file"], revision=found["revision"])


def require_same_base(metadata: AdapterMetadata | None, identity: ModelIdentity, *, location: str) -> None:
    """Refuses an assistant that says it belongs to another checkpoint; a file of another tool says nothing."""
    if metadata is None:
        log.warning(
            "objective.assistant=%s does not say which checkpoint it was trained on; it fits %s in shape",
            location,
            identity.model,
        )
        return
    if metadata.base_digest != identity.base_digest:
        raise UserError(
            f"objective.assistant={location} was trained on {metadata.checkpoint} ({metadata.model}), and this run's "
            f"checkpoint is {identity.checkpoint} ({identity.model}), whose weights are others. Train one for it: "
            f"python -m loralab assistant train model={identity.model}"
        )


def _fetched(location: str, repository: str, *, file: str | None, revision: str | None) -> Path:
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        if file is None:
            listed = HfApi().list_repo_files(repository, revision=revision)
            file = _only([name for name in listed if name.endswith(".safetensors")], location)
        return Path(hf_hub_download(repository, file, revision=revision))
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise UserError(
            f"objective.assistant={location} is neither a file here nor to be had from the hub: {error}. "
            "Download it and give its path, or log in (huggingface-cli login) where it is gated"
        ) from error


def _only(files: list[str], location: str) -> str:
    if len(files) != 1:
        named = ", ".join(files[:5]) or "none"
        raise UserError(
            f"objective.assistant={location} holds {len(files)} .safetensors files ({named}); name one: "
            f"objective.assistant={location.partition('@')[0]}/<file>.safetensors"
        )
    return files[0]
