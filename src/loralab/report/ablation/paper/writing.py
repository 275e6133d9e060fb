"""The LaTeX source of the paper, and the figures that it includes; what it says of results is made from records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loralab.files import atomic_write
from loralab.report.ablation.appendix import appendix_latex
from loralab.report.ablation.claim import NOT_MEASURED
from loralab.report.ablation.figures import draw_differences, draw_values
from loralab.report.ablation.formats import escaped, latex
from loralab.report.ablation.record import (
    FINISHED,
    AblationRecord,
    ClaimRecord,
    Comparison,
    Factor,
    Metric,
)
from loralab.report.ablation.tables import Table, interval, number, slug
from loralab.report.statistics import wider

TEMPLATE = Path(__file__).with_name("paper.tex.jinja")


@dataclass(frozen=True)
class Paper:
    """What a paper is made of.

    Attributes:
        title: of the paper.
        name: of its files.
        command: that makes it again.
        records: a section each; those without a claim are left out.
    """

    title: str
    name: str
    command: str
    records: tuple[AblationRecord, ...]


def write_paper(paper: Paper, folder: Path) -> list[Path]:
    """Writes figures and source into a folder; gives the files, the source last."""
    figures = [path for record in paper.records for path in _figures(record, folder)]
    return [*figures, atomic_write(folder / f"{paper.name}.tex", paper_source(paper))]


def paper_source(paper: Paper) -> str:
    """Gives the LaTeX source."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        block_start_string=r"\BLOCK{", block_end_string="}", variable_start_string=r"\VAR{",
        variable_end_string="}", comment_start_string=r"\#{", comment_end_string="}", undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, autoescape=False,
    )  # fmt: skip
    environment.filters["tex"] = escaped
    claims = [_section(record, record.claim) for record in paper.records if record.claim is not None]
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        paper=paper, claims=claims, overview=latex(_overview(paper), columns="p{90mm}llll")
    )


def _section(record: AblationRecord, claim: ClaimRecord) -> dict[str, Any]:
    metric = next(each for each in record.metrics if each.key == claim.metric)
    finished = sum(run.status == FINISHED for run in record.runs)
    return {
        "record": record,
        "claim": claim,
        "label": record.name.replace("_", "-"),
        "is_measured": claim.verdict != NOT_MEASURED,
        "metric": metric,
        "better": "less" if metric.direction == "minimize" else "more",
        "factors": "; ".join(map(_factor, record.factors)),
        "overrides": " ".join(record.overrides),
        "num_finished": finished,
        "others": [run for run in record.runs if run.status != FINISHED] if finished else [],
        "table": latex(_parts(record, claim, metric)) if claim.comparisons else "",
        "further": [latex(table) for table in _further(record)],
        "figures": list(_stems(record, metric)) if claim.comparisons else [],
        "appendix": appendix_latex(record),
    }


def _factor(factor: Factor) -> str:
    others = ", ".join(level.name for level in factor.levels if level.name != factor.baseline)
    return f"{factor.name}: {factor.baseline} (baseline), {others}"


def _overview(paper: Paper) -> Table:
    rows = [
        (claim.text, record.model, str(len(record.seeds)), _ended(record), claim.verdict)
        for record in paper.records
        if (claim := record.claim) is not None
    ]
    head = ("claim", "model", "seeds", "runs", "verdict")
    return Table("verdicts", "Claims and verdicts", head, tuple(rows))


def _ended(record: AblationRecord) -> str:
    return f"{sum(run.status == FINISHED for run in record.runs)} of {len(record.runs)}"


def _parts(record: AblationRecord, claim: ClaimRecord, metric: Metric) -> Table:
    """Gives the claim's own comparisons."""
    notes = [claim.family.note] if claim.family else []
    return Table(
        name=f"{record.name}_claim",
        caption=f"{record.title}: the parts of the claim, {metric.title}",
        head=("cell", "against", "n", "difference", "share", "g", "Holm p"),
        rows=tuple(map(_part_row, claim.comparisons)),
        notes=("The wider of the bootstrap's and Student's 95 % intervals.", *(f"{note}." for note in notes)),
    )


def _part_row(each: Comparison) -> tuple[str, ...]:
    return (
        each.cell,
        each.against,
        str(len(each.seeds)),
        interval(wider(each.difference, each.student), signed=True),
        "" if each.share is None else f"{each.share:+.1%}",
        interval(each.effect, signed=True),
        "no test" if each.holm_p is None else f"{each.holm_p:.3g}",
    )


def _further(record: AblationRecord) -> list[Table]:
    """Gives the means of all metrics, a row for each cell, where anything has finished."""
    found = {(each.cell, each.metric): each for each in record.summaries if each.purpose == "planned"}
    rows = []
    for cell in record.cells:
        own = [found[cell.name, metric.key] for metric in record.metrics]
        spread = [
            "not measured" if s.mean is None else f"{number(s.mean)} ± {number(s.deviation)}" for s in own
        ]
        rows.append((cell.name, f"{len(own[0].values)} of {own[0].num_runs}", *spread))
    if all(row[2] == "not measured" for row in rows):
        return []
    head = ("cell", "runs", *(metric.title for metric in record.metrics))
    caption = f"{record.title}: all cells and metrics, mean ± standard deviation over seeds"
    return [Table(f"{record.name}_cells", caption, head, tuple(rows))]


def _stems(record: AblationRecord, metric: Metric) -> list[str]:
    return [f"figures/{record.name}_{slug(metric.key)}_{kind}" for kind in ("values", "differences")]


def _figures(record: AblationRecord, folder: Path) -> list[Path]:
    if record.claim is None or not record.claim.comparisons:
        return []
    metric = next(each for each in record.metrics if each.key == record.claim.metric)
    values, differences = (folder / stem for stem in _stems(record, metric))
    return [*draw_values(record, metric, values), *draw_differences(record, metric, differences)]
