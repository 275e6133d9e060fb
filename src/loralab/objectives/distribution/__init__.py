"""Training a few-step model without losing the few steps: where to push its pictures, and the losses that push."""

from loralab.objectives.distribution.directions import Direction, guidance_direction, matching_direction
from loralab.objectives.distribution.losses import anchor_loss, coupled_loss, fake_loss, pushed_loss
from loralab.objectives.distribution.recipe import DistributionMatching
from loralab.objectives.distribution.settings import (
    Anchor,
    Base,
    Coupled,
    Fake,
    Matching,
    Prior,
    StageTwoSettings,
)

__all__ = [
    "Anchor",
    "Base",
    "Coupled",
    "Direction",
    "DistributionMatching",
    "Fake",
    "Matching",
    "Prior",
    "StageTwoSettings",
    "anchor_loss",
    "coupled_loss",
    "fake_loss",
    "guidance_direction",
    "matching_direction",
    "pushed_loss",
]
