"""Videos, pictures and sound: listed, checked, cut to buckets of frames, and decoded when they are encoded."""

from loralab.data.video.check import check_clips
from loralab.data.video.clip import Clip
from loralab.data.video.entries import ClipEntry, ClipListing, ClipSource
from loralab.data.video.jsonl import JsonlSource
from loralab.data.video.report import Rejection, Report
from loralab.data.video.rules import ClipRules
from loralab.data.video.sizes import VideoBucket
from loralab.data.video.video_folder import VideoFolderSource

__all__ = [
    "Clip",
    "ClipEntry",
    "ClipListing",
    "ClipRules",
    "ClipSource",
    "JsonlSource",
    "Rejection",
    "Report",
    "VideoBucket",
    "VideoFolderSource",
    "check_clips",
]
