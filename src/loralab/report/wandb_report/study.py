"""One study, or several beside each other, as a report on W&B: a set of runs for each, curves, parameters, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from loralab import names
from loralab.report.study.confirm.sections import markdown
from loralab.report.study.sections import sections
from loralab.report.study.summary import Summary
from loralab.report.wandb_report import panels
from loralab.report.wandb_report.target import Target

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import Report

NUM_BEST = 10


def study_report(summaries: Sequence[Summary], target: Target) -> Report:
    """Makes the report.

    Args:
        summaries: one for each study, at least one.
        target: the project on W&B that the trials were logged to.
    """
    import wandb_workspaces.reports.v2 as wr

    called = ", ".join(summary.record.name for summary in summaries)
    trials = [_trials(summary, target) for summary in summaries]
    found = [
        target.runset(f"study {s.record.name}: summary", group=s.record.name, job=names.STUDY_JOB)
        for s in summaries
    ]
    metrics = [row.metrics for summary in summaries for row in summary.record.rows]
    blocks: list[Any] = [
        wr.TableOfContents(),
        wr.H2("Curves"),
        wr.PanelGrid(runsets=trials, panels=panels.curves(panels.levels_of(metrics))),
        wr.H2("Parameters"),
        wr.PanelGrid(
            runsets=trials, panels=[panel for summary in summaries for panel in _parameters(summary)]
        ),
        wr.H2("Pictures"),
        wr.PanelGrid(runsets=trials, panels=[panels.pictures()]),
        wr.H2("The whole study"),
        wr.PanelGrid(runsets=found, panels=[_overview()]),
        *(wr.MarkdownBlock(_said(summary)) for summary in summaries),
    ]
    title = f"{'Study' if len(summaries) == 1 else 'Studies'} {called}"
    return wr.Report(
        project=target.project, entity=target.entity or "", title=title[:128], blocks=blocks, width="fluid"
    )


def _trials(summary: Summary, target: Target) -> Any:
    name = summary.record.name
    return target.runset(f"study {name}: trials", group=name, without=names.STUDY_JOB)


def _parameters(summary: Summary) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    record = summary.record
    column = wr.ParallelCoordinatesPlotColumn
    keys = {
        name: panels.param_key(name, [row.params.get(name) for row in record.rows]) for name in record.params
    }
    params = [
        column(wr.Config(key), display_name=name, log=name in record.log_params) for name, key in keys.items()
    ]
    goals = [
        column(wr.SummaryMetric(panels.logged(metric)), display_name=metric, inverted=way == "minimize")
        for metric, way in record.objectives.items()
    ]
    first = panels.logged(next(iter(record.objectives)))
    return [
        wr.ParallelCoordinatesPlot(
            title=f"{record.name}: parameters and scores",
            columns=[*params, *goals],
            layout=wr.Layout(w=24, h=9),
        ),
        wr.ParameterImportancePlot(with_respect_to=first),
    ]


def _overview() -> Any:
    import wandb_workspaces.reports.v2 as wr

    keys = [names.study_picture(stem) for stem in names.STUDY_PICTURES]
    return wr.MediaBrowser(
        title="History, importance, curves, front",
        media_keys=keys,
        num_columns=2,
        layout=wr.Layout(w=24, h=12),
    )


def _said(summary: Summary) -> str:
    """Gives the summary that `python -m loralab study` prints, as Markdown."""
    return markdown(sections(summary, num_best=NUM_BEST))
