"""Tables as Markdown, as LaTeX with booktabs, and all runs as CSV."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from loralab.report.ablation.record import AblationRecord
from loralab.report.ablation.tables import Table

SIGNS: Mapping[str, str] = {
    "±": r"$\pm$", "×": r"$\times$", "²": r"$^2$", "Δ": r"$\Delta$", "σ": r"$\sigma$", "−": "$-$", "–": "--",
    "α": r"$\alpha$", "η": r"$\eta$",
}  # fmt: skip
SPECIAL: Mapping[str, str] = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip
MINUS = re.compile(r"(?<![\w.])-(?=\d)")


def markdown(table: Table) -> str:
    """Gives a table for a Markdown page."""
    rows = [table.head, tuple("---" for _ in table.head), *table.rows]
    lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join([f"**{table.caption}**", "", *lines, "", *table.notes]) + "\n"


def latex(table: Table, *, columns: str | None = None) -> str:
    """Gives a table with booktabs rules, over both columns of a paper.

    The document needs booktabs, and graphicx to bring what is wider than the text down to it; `columns` says how each
    one is set, left by default.
    """
    import pandas

    heads = [escaped(cell) for cell in table.head]
    frame = pandas.DataFrame([[escaped(cell) for cell in row] for row in table.rows], columns=heads)
    body = (
        frame.style.hide(axis="index")
        .to_latex(hrules=True, column_format=columns or "l" * len(heads))
        .strip()
    )
    fitted = rf"\resizebox{{\ifdim\width>\linewidth\linewidth\else\width\fi}}{{!}}{{%{chr(10)}{body}}}"
    notes = rf"\par\smallskip{{\footnotesize {escaped(' '.join(table.notes))}\par}}" if table.notes else ""
    parts = [
        r"\begin{table*}[tb]", r"\centering\small", rf"\caption{{{escaped(table.caption)}}}",
        rf"\label{{tab:{table.name.replace('_', '-')}}}", fitted, notes, r"\end{table*}",
    ]  # fmt: skip
    return "\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """Gives a text as LaTeX shows it: special characters as they are, minus signs as such."""
    safe = "".join(SPECIAL.get(letter, letter) for letter in text)
    for sign, command in SIGNS.items():
        safe = safe.replace(sign, command)
    return MINUS.sub("$-$", safe)


def runs_csv(record: AblationRecord) -> str:
    """Gives a row for each run, also those that failed: its levels, what became of it, and all its numbers."""
    levels = {cell.name: cell.levels for cell in record.cells}
    rows: list[dict[str, Any]] = [
        {
            "cell": run.cell,
            **levels[run.cell],
            "seed": run.seed,
            "purpose": run.purpose,
            "status": run.status,
            "reason": run.reason,
            "num_attempts": run.num_attempts,
            "folder": run.folder,
            "command": run.command,
            **run.metrics,
        }
        for run in record.runs
    ]
    return _csv(rows)


def comparisons_csv(record: AblationRecord) -> str:
    """Gives every comparison in full precision."""
    claimed = record.claim.comparisons if record.claim else ()
    rows = [
        {
            "part": part,
            "purpose": each.purpose,
            "metric": each.metric,
            "cell": each.cell,
            "against": each.against,
            "n": len(each.seeds),
            "difference": each.difference.value,
            "bootstrap_low": each.difference.low,
            "bootstrap_high": each.difference.high,
            "student_low": each.student.low,
            "student_high": each.student.high,
            "share": each.share,
            "hedges_g": each.effect.value if each.effect else None,
            "hedges_g_low": each.effect.low if each.effect else None,
            "hedges_g_high": each.effect.high if each.effect else None,
            "p": each.p,
            "holm_p": each.holm_p,
            "reading": each.reading,
        }
        for part, comparisons in (("all", record.comparisons), ("claim", claimed))
        for each in comparisons
    ]
    return _csv(rows)


def _csv(rows: list[dict[str, Any]]) -> str:
    import pandas

    return str(pandas.DataFrame(rows).to_csv(index=False))
