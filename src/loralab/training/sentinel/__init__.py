"""Sees a run collapse by numbers that cost little, and does what was asked for before the pictures are ruined."""

from loralab.training.sentinel.callback import Sentinel
from loralab.training.sentinel.probe import VelocityProbe, prior_texts
from loralab.training.sentinel.rules import Alarm, Limits, Reading, Trends, Verdicts
from loralab.training.sentinel.settings import SentinelSettings

__all__ = [
    "Alarm",
    "Limits",
    "Reading",
    "Sentinel",
    "SentinelSettings",
    "Trends",
    "VelocityProbe",
    "Verdicts",
    "prior_texts",
]
