"""Looking at adapters and measuring them, always from the adapter file."""

from loralab.evaluation.drawing import Drawing, Prompts
from loralab.evaluation.features import FeatureNet
from loralab.evaluation.fewstep import FewStepTest
from loralab.evaluation.fewstep_drawing import Subject
from loralab.evaluation.nothing import NoEvaluation
from loralab.evaluation.previews import Previews, render
from loralab.evaluation.sampler import draw
from loralab.evaluation.scores import StyleScore, Truths
from loralab.evaluation.settings import Evaluation
from loralab.evaluation.style import Concept, StyleTest, emoji_concept, score_style

__all__ = [
    "Concept",
    "Drawing",
    "Evaluation",
    "FeatureNet",
    "FewStepTest",
    "NoEvaluation",
    "Previews",
    "Prompts",
    "StyleScore",
    "StyleTest",
    "Subject",
    "Truths",
    "draw",
    "emoji_concept",
    "render",
    "score_style",
]
