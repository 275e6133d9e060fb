"""A diffusers pipeline in a folder or on the Hugging Face hub: found, checked, fetched part by part.

`checkpoint=` is one of
    a folder                     models/klein-base-4B      (model_index.json and a subfolder per component)
    a hub id                     black-forest-labs/FLUX.2-klein-base-4B, with an optional revision
    package://<package>/<path>   a folder inside an installed Python package
A hub id is resolved to one commit, so that components fetched at different times belong together.
HF_HUB_OFFLINE is honoured. Only safetensors are ever read.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loralab.errors import UserError
from loralab.files import PACKAGE_PREFIX, package_path

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
SMALL_FILES = ("model_index.json", "*/config.json", "scheduler/*.json", "tokenizer/*")


@dataclass(frozen=True)
class Checkpoint:
    """Where a pipeline's files are.

    Attributes:
        location: folder, hub id or `package://` address, as typed.
        revision: branch, tag or commit on the hub; None for the default branch and for folders.
        pipeline: name of the diffusers pipeline class that `model_index.json` must name.
    """

    location: str
    revision: str | None
    pipeline: str

    @functools.cached_property
    def root(self) -> Path:
        """The folder with configs and tokenizer in it; weights of hub checkpoints arrive with `weights`."""
        folder = self._folder
        if folder is None:
            return self._fetch(SMALL_FILES, revision=self.revision)
        if self.revision is not None:
            raise UserError(
                f"model.revision={self.revision} has no effect: model.checkpoint={self.location} is a folder."
                " Set model.revision=null."
            )
        return folder

    @property
    def commit(self) -> str | None:
        """The hub commit that is used; None for folders."""
        return self.root.name if self._folder is None else None

    @functools.cached_property
    def index(self) -> dict[str, Any]:
        """The content of model_index.json, checked to be of the expected pipeline class."""
        index = self._json("model_index.json")
        found = index.get("_class_name")
        if found != self.pipeline:
            raise UserError(
                f"model.checkpoint={self.location} is a {found}, but this model needs a {self.pipeline}."
                " Choose the model= that fits the checkpoint, or another checkpoint."
            )
        return index

    def class_name(self, component: str) -> str:
        """Gives the class that model_index.json names for a component."""
        library_and_class = self.index.get(component)
        if not library_and_class or not library_and_class[1]:
            raise UserError(
                f"model.checkpoint={self.location}: its model_index.json has no {component}."
                " Use a complete pipeline."
            )
        return str(library_and_class[1])

    def config(self, component: str) -> dict[str, Any]:
        """Gives a component's configuration without loading the component."""
        self.class_name(component)
        return self._json(
            "scheduler/scheduler_config.json" if component == "scheduler" else f"{component}/config.json"
        )

    def files(self, component: str) -> Path:
        """Gives the folder of a component that has no weights (tokenizer)."""
        self.class_name(component)
        folder = self.root / component
        if not folder.is_dir():
            raise UserError(
                f"model.checkpoint={self.location}: {folder} is missing. Use a complete pipeline."
            )
        return folder

    def weights(self, component: str) -> Path:
        """Gives a component's folder with config and safetensors in it, complete; fetches them where needed."""
        self.class_name(component)
        if self._folder is None:
            self._fetch((f"{component}/*.json", f"{component}/*.safetensors"), revision=self.commit)
        folder = self.root / component
        files = weight_files(folder)
        if not files:
            raise UserError(
                f"model.checkpoint={self.location}: no *.safetensors in {folder}. Other formats are not read:"
                " complete the download, or save the pipeline again as safetensors."
            )
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise UserError(
                f"model.checkpoint={self.location}: {', '.join(missing)} missing in {folder}, which its index lists."
                " Complete the download."
            )
        return folder

    @functools.cached_property
    def _folder(self) -> Path | None:
        """The local folder, or None for a hub id."""
        try:
            folder = package_path(self.location) or Path(self.location).expanduser()
        except ModuleNotFoundError as error:
            raise UserError(
                f"model.checkpoint={self.location}: there is no Python package {error.name}."
            ) from error
        if folder.is_dir():
            return folder
        if HUB_ID.fullmatch(self.location):
            return None
        if self.location.startswith(PACKAGE_PREFIX):
            raise UserError(
                f"model.checkpoint={self.location}: {folder} is not there, this installation came without it."
                " `python -m loralab.nano --help` names the commands that make a nano twin; or name another folder."
            )
        raise UserError(
            f"model.checkpoint={self.location}: there is no such folder. Name a diffusers folder (with a"
            " model_index.json in it) or a hub id such as owner/name."
        )

    def _json(self, name: str) -> dict[str, Any]:
        path = self.root / name
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UserError(
                f"model.checkpoint={self.location}: {path} is missing. A diffusers folder is needed"
                " (model_index.json and a subfolder per component), not a single file."
            ) from error
        except json.JSONDecodeError as error:
            raise UserError(
                f"model.checkpoint={self.location}: {path} is not valid JSON ({error})."
            ) from error
        return content

    def _fetch(self, patterns: Sequence[str], *, revision: str | None) -> Path:
        from huggingface_hub import errors, snapshot_download

        here = f"model.checkpoint={self.location}" + (f" model.revision={revision}" if revision else "")
        try:
            return Path(snapshot_download(self.location, revision=revision, allow_patterns=list(patterns)))
        except errors.GatedRepoError as error:
            page = f"https://huggingface.co/{self.location}"
            raise UserError(
                f"{here} is gated: accept its licence on {page}, then run `hf auth login`."
            ) from error
        except errors.RevisionNotFoundError as error:
            raise UserError(f"{here}: the hub has no such revision.") from error
        except errors.RepositoryNotFoundError as error:
            raise UserError(
                f"{here}: the hub has no such model (or it is private: `hf auth login`)."
            ) from error
        except (errors.LocalEntryNotFoundError, ConnectionError) as error:
            raise UserError(
                f"{here} is neither a folder nor in the local Hugging Face cache, and the hub cannot be reached"
                " (or HF_HUB_OFFLINE is set). Connect once, or pass a local diffusers folder:"
                " model.checkpoint=<folder>."
            ) from error
        except errors.HfHubHTTPError as error:
            raise UserError(f"{here}: the hub answered with an error: {error}") from error


def weight_files(folder: Path) -> list[Path]:
    """Lists the safetensors that make up a component: those of its index, or all of them."""
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if not indices:
        return sorted(folder.glob("*.safetensors"))
    names = {name for index in indices for name in json.loads(index.read_text())["weight_map"].values()}
    return sorted(folder / name for name in names)
