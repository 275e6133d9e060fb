"""Studies on Optuna: what is searched, which trial comes next, and what became of each."""

from loralab.study import attrs
from loralab.study.draws import Draw, Draws, Plan
from loralab.study.lease import Lease
from loralab.study.lengths import Lengths
from loralab.study.outcome import Outcome, Scoring, read_outcome, settle
from loralab.study.settings import StudySettings
from loralab.study.space import Branch, Space
from loralab.study.storage import file_of, hidden, load, open_storage, persistently, storage_url, trial_of
from loralab.study.worker import Worker, attach, scoring_of

__all__ = [
    "Branch", "Draw", "Draws", "Lease", "Lengths", "Outcome", "Plan", "Scoring", "Space", "StudySettings", "Worker",
    "attach", "attrs", "file_of", "hidden", "load", "open_storage", "persistently", "read_outcome", "scoring_of",
    "settle", "storage_url", "trial_of",
]  # fmt: skip
