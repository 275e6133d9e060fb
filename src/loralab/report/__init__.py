"""What a run, a study or an ablation left, as one HTML page, tables and a report on W&B."""

from loralab.report.environment import record_environment
from loralab.report.page.run import write_run_page

__all__ = ["record_environment", "write_run_page"]
