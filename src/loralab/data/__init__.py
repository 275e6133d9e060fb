"""Pictures and captions: read, checked, encoded once, and served in an order that only the seed decides."""

from loralab.data.batch import Batch
from loralab.data.dataset import PictureDataset
from loralab.data.emoji_source import EmojiSource
from loralab.data.encode import encode
from loralab.data.encoded import EncodedDataset
from loralab.data.encoders import Encoders
from loralab.data.folder import FolderSource
from loralab.data.hub import HubSource
from loralab.data.regularization import Regularization

__all__ = [
    "Batch",
    "EmojiSource",
    "EncodedDataset",
    "Encoders",
    "FolderSource",
    "HubSource",
    "PictureDataset",
    "Regularization",
    "encode",
]
