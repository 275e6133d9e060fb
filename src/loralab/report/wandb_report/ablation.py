"""An ablation as a report on W&B: a set of runs for each cell, curves, pictures, and the statistics in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loralab.report.ablation.formats import markdown
from loralab.report.ablation.record import AblationRecord, RunRecord
from loralab.report.ablation.tables import tables_of
from loralab.report.wandb_report import panels
from loralab.report.wandb_report.target import Target

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import Report, Runset


def ablation_report(record: AblationRecord, target: Target) -> Report:
    """Makes the report.

    Args:
        record: of the ablation; without a finished run the report has no set of runs to show.
        target: the project on W&B that the runs were logged to.
    """
    import wandb_workspaces.reports.v2 as wr

    sets = [found for cell in record.cells if (found := _runs(record, cell.name, target)) is not None]
    levels = panels.levels_of(run.metrics for run in record.runs)
    bars = [
        wr.BarPlot(title=metric.title, metrics=[wr.SummaryMetric(panels.logged(metric.key))])
        for metric in record.metrics
    ]
    shown: list[Any] = [
        wr.H2("Cells"),
        wr.PanelGrid(runsets=sets, panels=[*bars, *panels.curves(levels)]),
        wr.H2("Pictures"),
        wr.PanelGrid(runsets=sets, panels=[panels.pictures()]),
    ]
    blocks = [
        wr.TableOfContents(),
        *([wr.P(record.question)] if record.question else []),
        *_claim(record),
        wr.H2("Statistics"),
        *(wr.MarkdownBlock(markdown(table)) for table in tables_of(record)),
        *(shown if sets else []),
        wr.H2("To repeat it"),
        wr.MarkdownBlock(f"```bash\n{record.origin.command}\n```"),
    ]
    return wr.Report(
        project=target.project,
        entity=target.entity or "",
        title=record.title[:128],
        blocks=blocks,
        width="fluid",
    )


def _claim(record: AblationRecord) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    if (claim := record.claim) is None:
        return []
    return [
        wr.H2("Claim"),
        wr.P(claim.text),
        wr.P(f"Verdict: {claim.verdict}"),
        wr.UnorderedList(list(claim.reasons)),
    ]


def _runs(record: AblationRecord, cell: str, target: Target) -> Runset | None:
    """Gives a cell's runs by their names, which are the ends of their folders' paths."""
    called = [_name(record, run) for run in record.runs if run.cell == cell and run.folder]
    return target.runset(cell, group=record.name, names=called) if called else None


def _name(record: AblationRecord, run: RunRecord) -> str:
    return f"{record.name}/{run.folder}"
