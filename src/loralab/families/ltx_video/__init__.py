"""LTX-Video 2.3 (Lightricks): a transformer on tokens of video and audio, each with its own clock and positions."""

from loralab.families.ltx_video.denoiser import LtxVideo

__all__ = ["LtxVideo"]
