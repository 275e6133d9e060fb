"""Plans: predicted peaks and times of every stage, without weights, and the fastest policy that fits.

Values go in (a family's Blueprint, an Adapter, a Card) and frozen values come out; nothing here loads a weight.
"""

from loralab.memory.plan.activations import Peaks, Subject
from loralab.memory.plan.blueprint import Blueprint, Tokens
from loralab.memory.plan.cards import Card
from loralab.memory.plan.choose import Choice, Fixed, Option
from loralab.memory.plan.stages import Drawing, Run, Stage
from loralab.memory.plan.trained import Adapter

__all__ = [
    "Adapter",
    "Blueprint",
    "Card",
    "Choice",
    "Drawing",
    "Fixed",
    "Option",
    "Peaks",
    "Run",
    "Stage",
    "Subject",
    "Tokens",
]
