"""Where on W&B a report stands, and which of the runs there it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import Runset


@dataclass(frozen=True)
class Target:
    """A project and its owner; the owner may be unknown as long as nothing is sent.

    Attributes:
        project: that the runs were logged to.
        entity: user or team; None until a report is saved.
    """

    project: str = "loralab"
    entity: str | None = None

    def runset(
        self,
        title: str,
        *,
        group: str,
        names: Sequence[str] = (),
        job: str | None = None,
        without: str | None = None,
    ) -> Runset:
        """Gives the runs of a group.

        Args:
            title: of the set.
            group: a study's or an ablation's name.
            names: only runs that are called so; all where there are none.
            job: only runs of this kind.
            without: all kinds but this one.
        """
        import wandb_workspaces.reports.v2 as wr
        from wandb_workspaces import expr

        filters = [expr.Metric("Group") == group]
        filters += [expr.Metric("Name").isin(list(names))] if names else []
        filters += [expr.Metric("JobType") == job] if job else []
        filters += [expr.Metric("JobType") != without] if without else []
        # A runset that names its project asks W&B for the project's number, which only works online.
        project = self.project if self.entity else ""
        return wr.Runset(entity=self.entity or "", project=project, name=title, filters=expr.And(*filters))
