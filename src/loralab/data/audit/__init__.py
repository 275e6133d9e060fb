"""Looks a data set over before anything is encoded, and says what is probably a mistake."""

from loralab.data.audit.clips import audited_clips
from loralab.data.audit.finding import LEVELS, Finding, Flagged, Level, worst
from loralab.data.audit.pictures import BLUR, Wanted, audited_pictures

__all__ = [
    "BLUR",
    "LEVELS",
    "Finding",
    "Flagged",
    "Level",
    "Wanted",
    "audited_clips",
    "audited_pictures",
    "worst",
]
