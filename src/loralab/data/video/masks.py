"""From pixels and samples to latents: which share of each latent a mask covers, and which frames a reference keeps.

Both VAEs are causal. Video latent 0 covers frame 0 alone, latent k frames 8k - 7 to 8k; each covers 32x32 pixels.
Audio latent 0 covers mel frame 0, latent k mel frames 4k - 3 to 4k; a mel frame is 160 samples at 16 kHz.
(The vendor's trainer groups the frames of masks as 0-7, 8-15, ..., up to seven frames beside its own VAE; its
inference groups them as here.)
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, cat
from torch.nn.functional import avg_pool2d, pad

from loralab.data.video.sizes import FRAMES_PER_LATENT, PIXELS_PER_LATENT, held_frames
from loralab.errors import UserError

MEL_PER_LATENT = 4
SAMPLES_PER_MEL = 160


def pool_video_mask(mask: Float[Tensor, " frames height width"]) -> Float[Tensor, " f h w"]:
    """Gives the masked share, in [0, 1], of what each latent covers.

    Args:
        mask: in [0, 1], of 8k + 1 frames with sides in multiples of 32.
    """
    frames = len(mask)
    if frames != held_frames(frames):
        raise UserError(f"a mask of {frames} frames cannot be pooled: 8k + 1 are needed, such as 89")
    spatial = avg_pool2d(mask[:, None], PIXELS_PER_LATENT)[:, 0]
    later = spatial[1:].reshape(-1, FRAMES_PER_LATENT, *spatial.shape[1:]).mean(dim=1)
    return cat([spatial[:1], later])


def pool_audio_mask(level: Float[Tensor, " samples"], *, num_latents: int) -> Float[Tensor, " {num_latents}"]:
    """Gives the masked share, in [0, 1], of what each audio latent covers; 0 beyond the mask's end.

    Args:
        level: in [0, 1], at 16 kHz.
        num_latents: how many latents the clip's sound has.
    """
    num_mel = MEL_PER_LATENT * (num_latents - 1) + 1
    samples = num_mel * SAMPLES_PER_MEL
    mel = (
        pad(level[:samples], (0, max(0, samples - len(level)))).reshape(num_mel, SAMPLES_PER_MEL).mean(dim=1)
    )
    return cat([mel[:1], mel[1:].reshape(-1, MEL_PER_LATENT).mean(dim=1)])


def kept_frames(frames: int, *, stride: int, key: str) -> list[int]:
    """Gives which frames of a reference are kept: frame 0, then every `stride`-th from frame 1.

    Raises:
        UserError: what is kept would not be 8k + 1 frames; `key` is the setting that gave the stride.
    """
    rest = frames - 1
    if stride < 1 or rest % stride or rest // stride % FRAMES_PER_LATENT:
        raise UserError(
            f"{key}={stride} does not divide {frames} frames: of the {rest} after the first, one in {stride} must be "
            f"a multiple of {FRAMES_PER_LATENT}"
        )
    return [0, *range(1, frames, stride)]
