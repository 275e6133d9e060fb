"""What a configuration needs, predicted before anything is loaded, and memory=auto decided by it."""

from loralab.planning.decide import Decision, decided, drawing_placement
from loralab.planning.epochs import settle, settle_without_pictures
from loralab.planning.report import planned

__all__ = ["Decision", "decided", "drawing_placement", "planned", "settle", "settle_without_pictures"]
