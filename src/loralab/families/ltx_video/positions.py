"""Where tokens lie: seconds and pixels between which each of them reaches, which the rotary embedding is made from.

    video     t = max(0, 8 f + 1 - 8) / fps,    y = 32 h,    x = 32 w          from f, h, w to f + 1, h + 1, w + 1
    audio     t = max(0, 4 k + 1 - 4) * 160 / 16000                            from k to k + 1

Both clocks are causal, as the VAEs are: the first video token is one frame long, the first audio token one mel column.
A reference lies where its target lies. With sides 1 / d of the target's and 1 / S of its frame rate,

    y, x  times d,    t = max(0, t' - (S - 1) / fps)    with t' at fps / S

so that its last token ends where the target's does (Lightricks/LTX-2, ltx_core/conditioning/types/
reference_video_cond.py and ltx_trainer/training_strategies/flexible.py, which agree).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.families.ltx_video.encoders.audio import FRAMES_PER_LATENT
from loralab.families.ltx_video.encoders.mel import LogMel
from loralab.families.ltx_video.tokens import SIDE, STRIDE, Grid


def video_bounds(grid: Grid, fps: Float[Tensor, " b"]) -> Float[Tensor, " b 3 n 2"]:
    """Gives begin and end of each token in seconds, rows and columns, for clips of their own frame rates."""
    # Counted on the device: the host would wait for a copy.
    axes = [torch.arange(size, dtype=torch.float32, device=fps.device) for size in grid]
    starts = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)
    bounds = torch.stack([starts, starts + 1], dim=-1)
    frames = (bounds[0] * STRIDE + 1 - STRIDE).clamp(min=0)
    seconds = frames / fps.float()[:, None, None]
    pixels = (bounds[1:] * SIDE).expand(len(fps), -1, -1, -1)
    return torch.cat([seconds[:, None], pixels], dim=1)


def reference_bounds(
    grid: Grid, fps: Float[Tensor, " b"], *, spatial_factor: int = 1, temporal_factor: int = 1
) -> Float[Tensor, " b 3 n 2"]:
    """Gives the bounds of a reference's tokens on its target's axes.

    Args:
        grid: the reference's own.
        fps: frame rates of the target clips.
        spatial_factor: d, how many times smaller its sides are.
        temporal_factor: S, how many times lower its frame rate is.
    """
    seconds, pixels = video_bounds(grid, fps / temporal_factor).split([1, 2], dim=1)
    late = (temporal_factor - 1) / fps.float()
    return torch.cat([(seconds - late[:, None, None, None]).clamp(min=0), pixels * spatial_factor], dim=1)


def audio_bounds(
    num_tokens: int, *, batch_size: int, device: torch.device | None = None
) -> Float[Tensor, " b 1 t 2"]:
    """Gives begin and end of each audio token in seconds."""
    starts = torch.arange(num_tokens, dtype=torch.float32, device=device)
    bounds = torch.stack([starts, starts + 1], dim=-1)
    columns = (bounds * FRAMES_PER_LATENT + 1 - FRAMES_PER_LATENT).clamp(min=0)
    seconds = columns * LogMel.hop_length / LogMel.sample_rate
    return seconds.expand(batch_size, 1, -1, -1)
