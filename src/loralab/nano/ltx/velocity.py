"""One call of the nano LTX-Video's transformer, as the family `ltx_video` makes it for clips of the nano's size.

    velocity = noise - data,    timestep = 1000 sigma for each token, 0 where it is given
    video     t = max(0, 8 f - 7) / fps,   y = 32 h,   x = 32 w        from f, h, w to f + 1, h + 1, w + 1
    audio     t = max(0, 4 k - 3) / 100                                from k to k + 1
    control   y and x twice as far apart; its tokens stand before the clip's, and are clean

Between the modalities, scale and shift are made of the token's own timestep and the gate of the other's sigma;
diffusers would take the other's sigma for all three. A test holds this equal to the family.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from loralab.data.moving.controls import DOWNSCALE
from loralab.data.moving.scene import FPS, FRAMES, SIDE

SPATIAL, TEMPORAL, CLOCK = 32, 8, 1000.0
ROWS, LATENT_FRAMES = SIDE // SPATIAL, (FRAMES - 1) // TEMPORAL + 1
NUM_TOKENS, FRAME_TOKENS = LATENT_FRAMES * ROWS * ROWS, ROWS * ROWS
SCALE_SHIFT = ("av_cross_attn_video_scale_shift", "av_cross_attn_audio_scale_shift")


class Pair(NamedTuple):
    """Something of the video, and the same of the sound."""

    video: Tensor
    audio: Tensor


def velocities(
    transformer: Any,
    tokens: Pair,
    *,
    sigmas: Pair,
    prompts: Pair,
    given: Bool[Tensor, " b n"] | None = None,
    control: Float[Tensor, " b m c"] | None = None,
) -> Pair:
    """Predicts noise - data of both modalities in fp32.

    Args:
        transformer: a `LTX2VideoTransformer3DModel`.
        tokens: noisy `[b, n, c]` and `[b, t, d]`, clean where they are given.
        sigmas: `[b]` each.
        prompts: what the connectors make of the captions, `[b, l, width]`.
        given: tokens of the video that are clean, such as a first frame's.
        control: clean tokens of a video of half the size.
    """
    video, timestep = tokens.video, CLOCK * sigmas.video
    if given is not None or control is not None:
        timestep = timestep[:, None].expand(video.shape[:2])
        timestep = timestep if given is None else timestep.masked_fill(given, 0)
    places = video_places(video.device)
    if control is not None:
        video = torch.cat([control, video], dim=1)
        timestep = torch.cat([timestep.new_zeros(control.shape[:2]), timestep], dim=1)
        places = torch.cat([video_places(video.device, factor=DOWNSCALE), places], dim=1)
    told = Pair(timestep, CLOCK * sigmas.audio)
    handles = [
        transformer.get_submodule(layer).register_forward_pre_hook(
            lambda _, args, own=own: (own.flatten(), *args[1:])
        )
        for layer, own in zip(SCALE_SHIFT, told, strict=True)
    ]
    try:
        answers = transformer(
            hidden_states=video,
            audio_hidden_states=tokens.audio,
            encoder_hidden_states=prompts.video,
            audio_encoder_hidden_states=prompts.audio,
            timestep=told.video,
            audio_timestep=told.audio,
            sigma=CLOCK * sigmas.video,
            audio_sigma=CLOCK * sigmas.audio,
            video_coords=places.expand(len(video), -1, -1, -1),
            audio_coords=audio_places(tokens.audio).expand(len(video), -1, -1, -1),
            use_cross_timestep=True,
            return_dict=False,
        )
    finally:
        for handle in handles:
            handle.remove()
    return Pair(answers[0][:, -tokens.video.shape[1] :].float(), answers[1].float())


def video_places(device: torch.device, *, factor: int = 1) -> Float[Tensor, " 3 n 2"]:
    """From when to when and from where to where each token of a clip reaches, whose sides are `factor` times less."""
    sizes = (LATENT_FRAMES, ROWS // factor, ROWS // factor)
    grid = torch.stack(torch.meshgrid(*(torch.arange(size, device=device) for size in sizes), indexing="ij"))
    bounds = torch.stack([grid.flatten(1), grid.flatten(1) + 1], dim=-1).float()
    seconds = (bounds[:1] * TEMPORAL + 1 - TEMPORAL).clamp(min=0) / FPS
    return torch.cat([seconds, bounds[1:] * (SPATIAL * factor)])


def audio_places(tokens: Float[Tensor, " b t d"]) -> Float[Tensor, " 1 t 2"]:
    """From when to when each token of sound reaches."""
    start = torch.arange(tokens.shape[1], device=tokens.device, dtype=torch.float32)
    return (torch.stack([start, start + 1], dim=-1)[None] * 4 - 3).clamp(min=0) / 100


def packed(latents: Float[Tensor, " b c f h w"]) -> Float[Tensor, " b n c"]:
    """A token of every latent position."""
    return latents.flatten(2).transpose(1, 2)


def unpacked(tokens: Float[Tensor, " b n c"]) -> Float[Tensor, " b c f h w"]:
    """Latents of tokens."""
    return tokens.transpose(1, 2).unflatten(2, (LATENT_FRAMES, ROWS, ROWS))


def packed_sound(latents: Float[Tensor, " b c t mels"]) -> Float[Tensor, " b t d"]:
    """A token of every time step of sound: its channels one after the other."""
    return latents.transpose(1, 2).flatten(2)


def unpacked_sound(tokens: Float[Tensor, " b t d"], *, channels: int) -> Float[Tensor, " b c t mels"]:
    """Latents of tokens of sound."""
    return tokens.unflatten(2, (channels, -1)).transpose(1, 2)
