"""From latents to the tokens of LTX-Video's transformer and back, and the sizes that divide.

    video    a latent position is a token:    num_tokens = (width / 32) (height / 32) ((num_frames - 1) / 8 + 1)
    audio    a latent time step is a token:   its 8 channels of 16 mel bins, one channel after the other

The video VAE is causal: the first latent frame is one frame, every other one is eight. Tokens run over frames, then
rows, then columns (Lightricks/LTX-2, ltx_core/components/patchifiers.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from loralab.errors import UserError, joined, nearest

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
    """Gives the latent grid of a video of a size that `require_size` lets pass."""
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


def require_size(
    key: str, *, width: int, height: int, num_frames: int, spatial_factor: int = 1, temporal_factor: int = 1
) -> None:
    """Refuses a size that the VAE, or a smaller reference beside it, cannot have.

    Args:
        key: what was typed to get this size, for the message.
        width: pixels of the target.
        height: pixels of the target.
        num_frames: frames of the target.
        spatial_factor: how many times smaller the sides of a reference are.
        temporal_factor: how many times lower the frame rate of a reference is.

    Raises:
        UserError: with everything that is wrong and the nearest sizes that are right.
    """
    found = _problems(
        {"width": width, "height": height}, num_frames, side=SIDE * spatial_factor, stride=STRIDE * temporal_factor
    )  # fmt: skip
    if problems := list(found):
        raise UserError(f"{key}={width}x{height}x{num_frames} is no size for LTX-Video:\n" + joined(problems))


def _problems(sides: dict[str, int], num_frames: int, *, side: int, stride: int) -> Iterator[str]:
    for name, pixels in sides.items():
        if pixels < side or pixels % side:
            reason = "" if side == SIDE else f" ({SIDE}, times {side // SIDE} for the smaller reference)"
            yield f"{name} {pixels} is not a multiple of {side}{reason}; {nearest(pixels, step=side, rest=0)}"
    if num_frames < 1 or (num_frames - 1) % stride:
        reason = "" if stride == STRIDE else f" ({STRIDE}, times {stride // STRIDE} for the slower reference)"
        yield (
            f"{num_frames} frames are not a multiple of {stride} and one more{reason}; "
            f"{nearest(num_frames, step=stride, rest=1)}"
        )
