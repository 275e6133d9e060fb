"""Where metrics, pictures and videos go: always `metrics.jsonl`, and W&B, TensorBoard and CSV as configured."""

from loralab.loggers.build import build_loggers, close_loggers
from loralab.loggers.figures import log_figures
from loralab.loggers.jsonl import JsonlLogger
from loralab.loggers.picture import log_picture
from loralab.loggers.video import log_video
from loralab.loggers.weights_and_biases import WandbSettings

__all__ = [
    "JsonlLogger",
    "WandbSettings",
    "build_loggers",
    "close_loggers",
    "log_figures",
    "log_picture",
    "log_video",
]
