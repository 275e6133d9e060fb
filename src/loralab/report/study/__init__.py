"""What comes after a study: its summary, tables and pictures, and the confirmation of its best trials."""

from loralab.report.study.printing import show
from loralab.report.study.record import StudyRecord, recorded
from loralab.report.study.sections import sections
from loralab.report.study.summary import Summary, summarized
from loralab.report.study.writing import write_summary

__all__ = ["StudyRecord", "Summary", "recorded", "sections", "show", "summarized", "write_summary"]
