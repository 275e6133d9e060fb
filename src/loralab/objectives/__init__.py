"""What training minimises: LightningModules that know the Denoiser protocol and no family."""

from loralab.objectives.flow_matching import FlowMatching
from loralab.objectives.loss import velocity_loss

__all__ = ["FlowMatching", "velocity_loss"]
