"""`python -m loralab check`: looks a run over before it trains, without encoding anything or loading a weight.

It takes the overrides of train.py, and of its own:
    check.strict=true          exit status 1 where there are warnings
    check.out=check.html       where the page is written; check.out=null writes none
    check.blur=25              variance of the Laplacian below which a picture is called blurred; 0 for none
    check.card="RTX 4090"      a card to plan memory for; by default the one that is here
    check.budget_gib=24        what may be used of it

Exit status: 0 nothing to mend (warnings are printed), 1 warnings under check.strict=true, 2 errors.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from loralab.cli.arguments import flag, number
from loralab.cli.compose import composed_run
from loralab.cli.plan import plan_lines
from loralab.config import resumed
from loralab.data.audit import BLUR, LEVELS, Finding, worst
from loralab.errors import UserError

OWN = ("strict", "out", "blur", "card", "budget_gib")
PAGE = "check.html"
PREFIX = "check."


@dataclass(frozen=True)
class Checked:
    """What a check found, and the plan of the run's memory; empty where there is none."""

    findings: tuple[Finding, ...]
    plan: tuple[str, ...]

    def status(self, *, strict: bool) -> int:
        """Gives the exit status."""
        return {"error": 2, "warning": int(strict)}.get(worst(self.findings) or "", 0)


def main(arguments: Sequence[str]) -> None:
    """Prints what was found, writes the page and ends with the exit status."""
    own = own_settings(arguments)
    strict, blur = flag(own, "strict"), number(own, "blur", default=BLUR)
    typed = [argument for argument in arguments if not argument.startswith(PREFIX)]
    found = checked(typed, own=own, blur=blur)
    for level in LEVELS[::-1]:
        for finding in (each for each in found.findings if each.level == level):
            print("\n".join(finding.lines()))
    for line in found.plan:
        print(line)
    out = own.get("out", PAGE)
    if out not in ("", "null"):
        print(f"page     {_written(found, Path(out), typed=typed)}")
    counts = {level: sum(each.level == level for each in found.findings) for level in LEVELS}
    print(f"{counts['error']} errors, {counts['warning']} warnings")
    if status := found.status(strict=strict):
        sys.exit(status)


def checked(typed: Sequence[str], *, own: Mapping[str, str], blur: float) -> Checked:
    """Looks a command of train.py over."""
    from loralab.planning.overview import overview
    from loralab.quiet import quiet_libraries

    quiet_libraries()
    try:
        config = composed_run(resumed(list(typed)))
    except UserError as error:
        return Checked((Finding(kind="configuration", level="error", message=str(error)),), ())
    findings = list(overview(config, blur=blur).findings)
    plan = _plan(config, findings, own=own)
    return Checked(tuple(findings), plan)


def own_settings(arguments: Sequence[str]) -> dict[str, str]:
    """Gives the settings of the check itself.

    Raises:
        UserError: for one that it does not know.
    """
    typed = [argument.removeprefix(PREFIX) for argument in arguments if argument.startswith(PREFIX)]
    own = {key: value.strip("'\"") for key, _, value in (argument.partition("=") for argument in typed)}
    if unknown := [key for key in own if key not in OWN]:
        raise UserError(
            f"check.{unknown[0]} is no setting; known are {', '.join(PREFIX + key for key in OWN)}"
        )
    return own


def _plan(config: DictConfig, findings: list[Finding], *, own: Mapping[str, str]) -> tuple[str, ...]:
    """Gives the plan's lines; what does not fit joins the findings."""
    from loralab.planning import settle_without_pictures

    if any(finding.kind == "configuration" for finding in findings):
        return ()
    settle_without_pictures(config, why="no pictures could be read")
    try:
        with_card = own.get("card"), own.get("budget_gib")
        lines = plan_lines(config, card=with_card[0], budget_gib=with_card[1])
    except UserError as error:
        is_absent = "local Hugging Face cache" in str(error)
        findings.append(Finding(kind="memory", level="note" if is_absent else "error", message=str(error)))
        return ()
    findings += [
        Finding(kind="memory", level="error", message=line) for line in lines if "does not fit into" in line
    ]
    return tuple(lines)


def _written(found: Checked, path: Path, *, typed: Sequence[str]) -> Path:
    from loralab.report.page.check import check_page
    from loralab.report.page.html import write_page

    command = shlex.join(["python", "-m", "loralab", "check", *typed])
    page = check_page(found.findings, plan=found.plan, command=command, folder=path.parent)
    return write_page(page, path)
