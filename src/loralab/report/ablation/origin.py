"""Where an ablation's runs come from: commits, versions, machines, data and commands, as their folders tell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from loralab.report import reading
from loralab.report.ablation.record import Origin, RunRecord
from loralab.report.study import StudyRecord
from loralab.study.ablation import ABLATIONS, Ablation

NO_PACKAGES = ("platform", "cpu_cores", "device", "commit")


def origin_of(
    study: StudyRecord, ablation: Ablation, *, runs: Sequence[RunRecord], folder: Path, storage: str | None
) -> Origin:
    """Reads the environments of all runs that have left one."""
    folders = [folder / run.folder for run in runs if run.folder]
    environments = [each for path in folders if (each := reading.json_file(path / "environment.json"))]
    packages = {name for each in environments for name in each if name not in NO_PACKAGES}
    where = [] if storage is None or storage.startswith("sqlite:") else [f"storage={storage}"]
    return Origin(
        command=shlex.join(["python", "train.py", *study.settings["ablation"]["arguments"]]),
        report_command=" ".join(["python -m loralab report", str(_shown(folder)), *where]),
        commits=_all(environments, "commit"),
        packages={name: _all(environments, name) for name in sorted(packages)},
        devices=_all(environments, "device"),
        data=_data(folders),
        config=_definition(ablation),
    )


def planned_origin(ablation: Ablation, *, runs: Sequence[RunRecord]) -> Origin:
    """Gives what is known of an ablation of which nothing was run."""
    return Origin(
        command=f"python train.py -m ablation={ablation.name}",
        report_command=f"python -m loralab report {ABLATIONS / ablation.name}",
        commits=(),
        packages={},
        devices=(),
        data={},
        config=_definition(ablation),
    )


def _definition(ablation: Ablation) -> str:
    return str(yaml.safe_dump(_plain(asdict(ablation)), sort_keys=False, allow_unicode=True, width=100))


def _shown(folder: Path) -> Path:
    """Gives a folder as one types it where the ablation was begun."""
    parts = folder.parts
    return Path(*parts[parts.index("outputs") :]) if "outputs" in parts else folder


def _all(environments: Sequence[dict[str, Any]], key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(each[key]) for each in environments if each.get(key)))


def _data(folders: Sequence[Path]) -> dict[str, str]:
    """Gives what the runs say of their pictures: how many, and the digest of pictures and captions."""
    found: dict[str, str] = {}
    for folder in folders:
        known = reading.json_file(folder / "result.json").get("dataset")
        root = reading.settings(folder).get("dataset.root")
        if known and root and root not in found:
            counts = f"{known.get('train')} to train on, {known.get('validation')} for validation"
            found[root] = f"{counts}; SHA-256 {known.get('digest', 'not recorded')}"
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
