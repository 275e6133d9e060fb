"""What training minimises: LightningModules that know the Denoiser protocol and no family."""

from loralab.objectives.audio_video_flow import AudioVideoFlow
from loralab.objectives.flow_matching import FlowMatching
from loralab.objectives.loss import velocity_loss
from loralab.objectives.objective import Objective, Planned, Surroundings

__all__ = ["AudioVideoFlow", "FlowMatching", "Objective", "Planned", "Surroundings", "velocity_loss"]
