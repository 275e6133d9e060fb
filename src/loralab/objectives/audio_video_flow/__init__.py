"""Flow matching of video and sound: which of them is generated, given or absent, and what of it is shown clean."""

from loralab.objectives.audio_video_flow.module import AudioVideoTraining
from loralab.objectives.audio_video_flow.settings import MODES, AudioVideoFlow

__all__ = ["MODES", "AudioVideoFlow", "AudioVideoTraining"]
