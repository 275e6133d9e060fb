"""`python -m loralab report <folder>`: what a run, a study or an ablation left, as one HTML page.

    run=<folder>         the page of a run, made again from its files
    study=<name>         a study's; study=a,b also compares them in one report on W&B
    ablation=<name>      an ablation's, with its tables, figures and appendix; or its folder
    storage=<url>        where the study is, unless it is in its own folder
    push=true            saves the report on W&B; first upload the runs with `wandb sync`. --push means the same
    wandb.project=loralab, wandb.entity=    where on W&B, as logger.wandb of the runs

A folder alone says by its files which of the three it is. Beside the page of a study or an ablation stands
wandb_report.json, which is what W&B would be sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loralab.cli.arguments import flag, split
from loralab.errors import UserError

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import Report

    from loralab.report.wandb_report import Target

log = logging.getLogger("loralab")
SUBJECTS = ("run", "study", "ablation")
KEYS = ("name", *SUBJECTS, "storage", "push", "wandb.project", "wandb.entity")
ABLATIONS = "ablations"
"""The folder of all ablations, below outputs; one whose study is on a server leaves only its runs there."""
USAGE = "report needs one of run=<folder>, study=<name>, ablation=<name>, or a folder"


def main(arguments: Sequence[str]) -> None:
    """Writes the page and prints its path."""
    found, rest = split(["push=true" if each == "--push" else each for each in arguments], known=KEYS)
    if rest:
        raise UserError(f"report: {rest[0].partition('=')[0]} is no setting; known: {', '.join(KEYS[1:])}")
    kind, subject = _subject(found)
    if kind == "run":
        _run(Path(subject), found)
    elif kind == "study":
        _studies(subject, found)
    else:
        _ablation(subject, found)


def _subject(found: dict[str, str]) -> tuple[str, str]:
    """Gives what is asked for; of a folder alone its files say what it is."""
    named = [kind for kind in SUBJECTS if kind in found]
    if len(named) + ("name" in found) != 1:
        raise UserError(f"{USAGE}, not {' '.join(f'{k}={v}' for k, v in found.items()) or 'nothing'}")
    if named:
        return named[0], found[named[0]]
    folder = Path(found["name"])
    if (folder / "config.yaml").is_file():
        return "run", str(folder)
    if (folder / "study.db").is_file():
        return ("ablation" if _is_ablation(folder) else "study"), str(folder)
    if (folder / "ablation.json").is_file() or (folder.is_dir() and folder.parent.name == ABLATIONS):
        return "ablation", str(folder)
    raise UserError(f"{folder} holds no run, study or ablation; {USAGE}")


def _is_ablation(folder: Path) -> bool:
    from loralab.report.study import recorded
    from loralab.study import load

    return "ablation" in recorded(load(folder.name, root=folder.parent)).settings


def _run(folder: Path, found: dict[str, str]) -> None:
    from loralab.report import write_run_page

    if not (folder / "config.yaml").is_file():
        raise UserError(f"report needs run=<the folder of a run>; run={folder} holds no config.yaml")
    if flag(found, "push"):
        raise UserError("push=true is for studies and ablations: a run logs to W&B itself, with logger=wandb")
    log.info("page  %s", write_run_page(folder))


def _studies(subject: str, found: dict[str, str]) -> None:
    from loralab.report.page.study import write_study_page
    from loralab.report.study import summarized
    from loralab.report.wandb_report import study_report
    from loralab.study import load
    from loralab.study.settings import STUDIES

    folders = [_folder(name, STUDIES) for name in subject.split(",")]
    summaries = [
        summarized(load(folder.name, root=folder.parent, storage=found.get("storage"))) for folder in folders
    ]
    for summary, folder in zip(summaries, folders, strict=True):
        log.info("page  %s", write_study_page(summary, folder))
    _to_wandb(lambda target: study_report(summaries, target), folders[0], found)


def _ablation(subject: str, found: dict[str, str]) -> None:
    from loralab.report.ablation import ablation_sections, read_record, recorded_ablation, write_ablation
    from loralab.report.page.ablation import write_ablation_page
    from loralab.report.study import show
    from loralab.report.wandb_report import ablation_report
    from loralab.study import ablation

    folder, storage = _folder(subject, ablation.ABLATIONS), found.get("storage")
    if storage is None and not (folder / "study.db").is_file() and (folder / "ablation.json").is_file():
        record = read_record(folder / "ablation.json")
    else:
        record = recorded_ablation(folder, storage=storage)
    show(ablation_sections(record))
    for path in write_ablation(record, folder):
        log.info("%s", path)
    log.info("page  %s", write_ablation_page(record, folder))
    _to_wandb(lambda target: ablation_report(record, target), folder, found)


def _folder(subject: str, root: Path) -> Path:
    """Gives the folder of a name below `root`, or the folder itself."""
    return Path(subject) if Path(subject).is_dir() else root / subject


def _to_wandb(make: Callable[[Target], Report], folder: Path, found: dict[str, str]) -> None:
    """Writes the report's specification, or saves the report where that is asked for."""
    from loralab.report.wandb_report import Target, push, write_specification

    target = Target(project=found.get("wandb.project", Target.project), entity=found.get("wandb.entity"))
    if flag(found, "push"):
        log.info("W&B   %s", push(make, folder, target))
        return
    # The owner matters only to W&B itself, which is not asked here.
    log.info("W&B   %s (push=true saves it there)", write_specification(make(Target(target.project)), folder))
