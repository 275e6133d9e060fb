"""One run, from pictures to report."""

from loralab.run.experiment import run

__all__ = ["run"]
