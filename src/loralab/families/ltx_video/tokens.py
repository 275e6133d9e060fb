"""From latents to the tokens of LTX-Video's transformer and back.

    video    a latent position is a token:    num_tokens = (width / 32) (height / 32) ((num_frames - 1) / 8 + 1)
    audio    a latent time step is a token:   its 8 channels of 16 mel bins, one channel after the other

The video VAE is causal: the first latent frame is one frame, every other one is eight. Tokens run over frames, then
rows, then columns (Lightricks/LTX-2, ltx_core/components/patchifiers.py).
"""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

SIDE = 32
"""Pixels per latent row and column."""
STRIDE = 8
"""Frames per latent frame, the first apart."""
AUDIO_CHANNELS = 8
"""Channels of audio latents; their mel bins are the rest of a token."""


class Grid(NamedTuple):
    """Latent frames, rows and columns of a video: a token each."""

    frames: int
    height: int
    width: int

    @property
    def num_tokens(self) -> int:
        """Counts the tokens."""
        return self.frames * self.height * self.width


def grid_of(*, width: int, height: int, num_frames: int) -> Grid:
    """Gives the latent grid of a video whose size the VAE can hold."""
    return Grid((num_frames - 1) // STRIDE + 1, height // SIDE, width // SIDE)


def reference_grid(target: Grid, *, spatial_factor: int = 1, temporal_factor: int = 1) -> Grid:
    """Gives the grid of a reference of 1 / spatial_factor of the sides and 1 / temporal_factor of the frame rate."""
    frames = (target.frames - 1) // temporal_factor + 1
    return Grid(frames, target.height // spatial_factor, target.width // spatial_factor)


def pack_video(latents: Float[Tensor, " b c f h w"]) -> Float[Tensor, " b n c"]:
    """Makes a token of every latent position."""
    return latents.flatten(2).transpose(1, 2)


def unpack_video(tokens: Float[Tensor, " b n c"], grid: Grid) -> Float[Tensor, " b c f h w"]:
    """Puts tokens back into their latent positions."""
    return tokens.transpose(1, 2).unflatten(2, tuple(grid))


def pack_audio(latents: Float[Tensor, " b c t mels"]) -> Float[Tensor, " b t d"]:
    """Makes a token of every latent time step."""
    return latents.transpose(1, 2).flatten(2)


def unpack_audio(
    tokens: Float[Tensor, " b t d"], *, channels: int = AUDIO_CHANNELS
) -> Float[Tensor, " b c t mels"]:
    """Cuts tokens into channels and mel bins again."""
    return tokens.unflatten(2, (channels, -1)).transpose(1, 2)
