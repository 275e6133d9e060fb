"""An ablation as tables, figures and a paper, all made from one record."""

from loralab.report.ablation.record import AblationRecord, read_record, write_record
from loralab.report.ablation.recording import planned_ablation, recorded_ablation
from loralab.report.ablation.writing import ablation_sections, write_ablation

__all__ = [
    "AblationRecord", "ablation_sections", "planned_ablation", "read_record", "recorded_ablation", "write_ablation",
    "write_record",
]  # fmt: skip
