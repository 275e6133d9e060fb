"""Videos, pictures and sound: listed, checked, cut to buckets of frames, and decoded when they are encoded."""

from loralab.data.video.batch import ClipBatch
from loralab.data.video.check import check_clips
from loralab.data.video.clip import Clip
from loralab.data.video.dataset import VideoDataset
from loralab.data.video.encode import encode_clips
from loralab.data.video.encoded import EncodedClips
from loralab.data.video.encoders import ClipEncoders, PromptEmbeds
from loralab.data.video.entries import ClipEntry, ClipListing, ClipSource
from loralab.data.video.jsonl import JsonlSource
from loralab.data.video.records import ClipCollection, ClipRecord, ClipShape
from loralab.data.video.references import ReferenceRules
from loralab.data.video.report import Rejection, Report
from loralab.data.video.rules import ClipRules
from loralab.data.video.sizes import VideoBucket
from loralab.data.video.video_folder import VideoFolderSource

__all__ = [
    "Clip",
    "ClipBatch",
    "ClipCollection",
    "ClipEncoders",
    "ClipEntry",
    "ClipListing",
    "ClipRecord",
    "ClipRules",
    "ClipShape",
    "ClipSource",
    "EncodedClips",
    "JsonlSource",
    "PromptEmbeds",
    "ReferenceRules",
    "Rejection",
    "Report",
    "VideoBucket",
    "VideoDataset",
    "VideoFolderSource",
    "check_clips",
    "encode_clips",
]
