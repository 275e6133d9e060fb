"""A report's specification as a file, and the same saved on W&B; who saves twice changes the same report."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loralab.errors import UserError
from loralab.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Callable

    from wandb_workspaces.reports.v2 import Report

    from loralab.report.wandb_report.target import Target

FILE = "wandb_report.json"
LOGIN = "run `wandb login`, or set WANDB_API_KEY; without it the report's specification is in the file beside the page"


def write_specification(report: Report, folder: Path, *, url: str | None = None) -> Path:
    """Writes wandb_report.json: what W&B is sent, and where it was saved, now or earlier; returns the path."""
    plain: dict[str, Any] = json.loads(report._to_model().model_dump_json(by_alias=True, exclude_none=True))
    place = {"id": report.id, "url": url, "project": report.project, "entity": report.entity or None}
    known = _saved(folder)
    if url is None and known.get("id") and known["project"] == report.project:
        place = {key: known[key] for key in place}
    described = {"displayName": plain["displayName"], "type": "runs", "spec": plain["spec"]}
    return atomic_write(folder / FILE, json.dumps({**place, **described}, indent=1) + "\n")


def push(make: Callable[[Target], Report], folder: Path, target: Target) -> str:
    """Saves a report on W&B, in place of the one that was saved from this folder; gives its address.

    Args:
        make: gives the report for an owner that is known.
        folder: where its specification lies.
        target: without an entity, the login's own.

    Raises:
        UserError: where this machine is not logged in, or W&B cannot be reached or does not know the project.
    """
    import wandb

    from loralab.loggers.weights_and_biases import is_logged_in

    if not is_logged_in():
        raise UserError(f"push=true, but this machine is not logged in to W&B: {LOGIN}")
    known = _saved(folder)
    try:
        entity = target.entity or wandb.Api().default_entity
        report = make(dataclasses.replace(target, entity=entity))
        if known.get("entity") == entity and known.get("project") == target.project:
            report.id = known.get("id", "")
        report.save()
    except ValueError as error:
        if "not found" not in str(error):  # what W&B answered cannot be read
            raise
        where = f"wandb.project={target.project}"
        raise UserError(
            f"{where}: {error} Upload the runs first, with `wandb sync <run's wandb folder>`"
        ) from error
    except wandb.errors.Error as error:
        raise UserError(f"W&B cannot be reached: {error}; {LOGIN}") from error
    address = str(report.url)
    write_specification(report, folder, url=address)
    return address


def _saved(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
