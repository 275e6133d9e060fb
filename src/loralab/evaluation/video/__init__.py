"""Looking at adapters of video models: clips with sound, always from the adapter file."""

from loralab.evaluation.video.drawing import ClipDrawing
from loralab.evaluation.video.output import write_clip, write_clips
from loralab.evaluation.video.previews import ClipPreviews
from loralab.evaluation.video.rendering import DrawnClip, Row, draw_clips
from loralab.evaluation.video.request import ClipRequest
from loralab.evaluation.video.settings import ClipEvaluation
from loralab.evaluation.video.size import ClipSize

__all__ = [
    "ClipDrawing",
    "ClipEvaluation",
    "ClipPreviews",
    "ClipRequest",
    "ClipSize",
    "DrawnClip",
    "Row",
    "draw_clips",
    "write_clip",
    "write_clips",
]
