"""What objectives, evaluation and runs know of a model: nothing above this imports a family."""

from loralab.denoiser.clips import (
    AudioInput,
    ClipDenoiser,
    ClipReference,
    ClipSampling,
    ClipVelocities,
    ModalityGuidance,
    VideoInput,
)
from loralab.denoiser.model import Component, ForeignNames, Model, ModelIdentity, SampleSize
from loralab.denoiser.pictures import Denoiser, Sampling

__all__ = [
    "AudioInput",
    "ClipDenoiser",
    "ClipReference",
    "ClipSampling",
    "ClipVelocities",
    "Component",
    "Denoiser",
    "ForeignNames",
    "ModalityGuidance",
    "Model",
    "ModelIdentity",
    "SampleSize",
    "Sampling",
    "VideoInput",
]
