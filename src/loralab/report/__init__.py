"""One run as one HTML page, made from the files that the run left."""

from loralab.report.environment import record_environment
from loralab.report.run_page import write_run_page

__all__ = ["record_environment", "write_run_page"]
