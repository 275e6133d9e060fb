"""Comparison reports on W&B of studies and ablations: written beside the page, and saved there when asked."""

from loralab.report.wandb_report.ablation import ablation_report
from loralab.report.wandb_report.saving import push, write_specification
from loralab.report.wandb_report.study import study_report
from loralab.report.wandb_report.target import Target

__all__ = ["Target", "ablation_report", "push", "study_report", "write_specification"]
