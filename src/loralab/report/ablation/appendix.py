"""The reproducibility appendix: what was run, by which code, on what, and the lines that run it again."""

from __future__ import annotations

import re
import textwrap

from loralab.report.ablation.formats import escaped
from loralab.report.ablation.record import FINISHED, AblationRecord, RunRecord

DIGEST = re.compile(r"[0-9a-f]{33,}")
BREAK = r"\allowbreak{}"


def appendix_markdown(record: AblationRecord) -> str:
    """Gives the appendix as a Markdown page."""
    parts = [
        f"# {record.title}: reproducibility",
        _facts_markdown(record),
        "## Commands",
        _code(_commands(record)),
    ]
    parts += ["## Every run", _code([f"{_mark(run)}  {run.command}" for run in record.runs])]
    parts += ["## Definition", _code(record.origin.config.splitlines())]
    return "\n\n".join(parts) + "\n"


def appendix_latex(record: AblationRecord) -> str:
    """Gives the same as a part of a LaTeX document, with what each cell sets instead of each run's line."""
    facts = "\n".join(rf"\item[{escaped(key)}] {_breakable(value)}" for key, value in _facts(record).items())
    lines = [*_commands(record), *(f"{cell.name}: {' '.join(cell.overrides)}" for cell in record.cells)]
    listing = "\n".join(rf"\item \texttt{{\footnotesize {_breakable(line)}}}" for line in lines)
    return (
        f"\\begin{{description}}\\raggedright\\setlength{{\\itemsep}}{{0pt}}\n{facts}\n\\end{{description}}\n"
        f"\\begin{{itemize}}\\raggedright\\setlength{{\\itemsep}}{{0pt}}\n{listing}\n\\end{{itemize}}\n"
    )


def _breakable(text: str) -> str:
    """Gives a text as LaTeX shows it, in which digests and paths may go on in the next line."""
    whole = DIGEST.sub(lambda found: BREAK.join(textwrap.wrap(found.group(), 16)), escaped(text))
    return whole.replace("/", f"/{BREAK}")


def _facts(record: AblationRecord) -> dict[str, str]:
    origin = record.origin
    peak = max((run.peak_memory_gib or 0.0 for run in record.runs), default=0.0)
    finished = sum(run.status == FINISHED for run in record.runs)
    return {
        "Model": record.model,
        "All runs have": " ".join(record.overrides) or "the configuration as it is",
        "Seeds": ", ".join(map(str, record.seeds)),
        "Fresh seeds": ", ".join(map(str, record.confirmation_seeds)) or "none",
        "Commit": ", ".join(origin.commits) or "not recorded",
        "Packages": ", ".join(f"{name} {' and '.join(each)}" for name, each in origin.packages.items())
        or "not recorded",
        "Machine": ", ".join(origin.devices) or "not recorded",
        "Data": "; ".join(f"{root}: {told}" for root, told in origin.data.items()) or "not recorded",
        "Cost": f"{finished} of {len(record.runs)} runs finished, {record.num_hours:.2f} hours of running together, "
        f"at most {peak:.2f} GiB",
    }


def _facts_markdown(record: AblationRecord) -> str:
    return "\n".join(f"- **{key}**: {value}" for key, value in _facts(record).items())


def _commands(record: AblationRecord) -> list[str]:
    return [record.origin.command, record.origin.report_command]


def _mark(run: RunRecord) -> str:
    return f"{run.cell}, seed {run.seed} ({run.status}):"


def _code(lines: list[str]) -> str:
    return "\n".join(["```", *lines, "```"])
