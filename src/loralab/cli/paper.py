"""`python -m loralab paper <prefix>`: a short paper about the claims that the ablations of these names test.

    out=docs/<prefix>            where source, figures, records and PDF go
    title=<text>                 of the paper
    compile=true                 whether to run pdflatex, where there is one

An ablation that was run is read from outputs/ablations; its record is then kept in <out>/records, from which the paper
can be made again without the runs. One that was not run is in it, too, as not measured.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from loralab.cli.arguments import flag, typed
from loralab.config import CONF
from loralab.errors import UserError

if TYPE_CHECKING:
    from loralab.report.ablation import AblationRecord
    from loralab.study.ablation import Ablation

log = logging.getLogger("loralab")
KEYS = ("name", "out", "title", "compile")
TITLES = {"claims": "Advice on training adapters, tested on nano models"}


def main(arguments: Sequence[str]) -> None:
    """Writes the paper and prints where it is."""
    from loralab.report.ablation.paper import Paper, compiled, write_paper

    found = typed(arguments, command="paper", known=KEYS, subject="the beginning of names in conf/ablation")
    prefix = found["name"]
    out = Path(found.get("out", f"docs/{prefix}"))
    records = [_record(ablation, out) for ablation in _ablations(prefix)]
    command = " ".join(["python -m loralab paper", *arguments])
    paper = Paper(found.get("title", TITLES.get(prefix, prefix)), prefix, command, tuple(records))
    written = write_paper(paper, out)
    for record in records:
        assert record.claim is not None
        log.info("%-28s %s", record.name, record.claim.verdict)
    log.info("source  %s", written[-1])
    pdf = compiled(written[-1]) if flag({"compile": "true", **found}, "compile") else None
    log.info("pdf     %s", pdf or "not made: pdflatex is not there, or compile=false")


def _ablations(prefix: str) -> list[Ablation]:
    """Reads the definitions that test a claim."""
    from loralab.study.ablation import read_ablation

    files = sorted((CONF / "ablation").glob(f"{prefix}*.yaml"))
    read = [read_ablation(yaml.safe_load(path.read_text(encoding="utf-8")), name=path.stem) for path in files]
    if claims := [ablation for ablation in read if ablation.claim is not None]:
        return claims
    raise UserError(f"paper {prefix}: no file conf/ablation/{prefix}*.yaml has a claim")


def _record(ablation: Ablation, out: Path) -> AblationRecord:
    """Gives an ablation's record: of its runs, else the one that is kept, else of the plan alone."""
    from loralab.report.ablation import planned_ablation, read_record, recorded_ablation
    from loralab.report.ablation.record import FILE
    from loralab.study.ablation import ABLATIONS

    folder, kept = ABLATIONS / ablation.name, out / "records" / f"{ablation.name}.json"
    if (folder / "study.db").is_file():
        return _kept(recorded_ablation(folder), kept)
    if (folder / FILE).is_file():
        return _kept(read_record(folder / FILE), kept)
    return read_record(kept) if kept.is_file() else planned_ablation(ablation)


def _kept(record: AblationRecord, path: Path) -> AblationRecord:
    from loralab.report.ablation import write_record

    write_record(record, path.parent, name=path.name)
    return record
