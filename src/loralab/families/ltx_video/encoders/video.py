"""Clips of LTX-Video: pixels to normalised latents and back.

    latents = (mode(vae(pixels)) - mean) scaling_factor / std       mean, std per channel
A latent covers 32 x 32 pixels and eight frames, but for the first of a clip, which stands for one frame: F = 1 + 8 k
frames give F' = 1 + k. A picture is a clip of one frame.

A clip of more than WHOLE_PIXELS goes through the VAE in square tiles of all its frames, which overlap and fade into
each other. Each is computed without its surroundings, so that its latents differ a little from those of the whole clip.
Whether a clip is tiled depends on its size alone, never on the memory that happens to be free: a cache made anywhere
holds the same. Diffusers can cut along time as well, but a causal encoder that begins anew gives other latents, so that
is left off.
Conventions: diffusers' LTX2Pipeline and AutoencoderKLLTX2Video.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.data.video.sizes import held_frames
from loralab.errors import UserError
from loralab.families.shared.checkpoint import Checkpoint
from loralab.families.shared.digest import component_digest, digest_of
from loralab.families.shared.room import altered, empty_cache, retried, say_once

WHOLE_PIXELS = 2**25
"""Frames x height x width up to which a clip is not cut: 768x448 of 97 frames. An activation of the encoder's first
stage (128 channels at a quarter of both sides, fp32) then takes 1 GiB, and several are alive at once; by arithmetic,
memory was not measured."""
TILES = (512, 256)
"""Sides of tiles in pixels: the larger at which a tile of all frames stays within the limit."""
OVERLAP = 128
"""Pixels that neighbours share: the vendor's choice for encoding in tiles (ltx-trainer, DEFAULT_TILE_OVERLAP)."""


def latents_shape(
    config: Mapping[str, Any], *, frames: int, height: int, width: int
) -> tuple[int, int, int, int]:
    """Gives (c, f, h, w) of the latents of a clip; reads the VAE's configuration only.

    Raises:
        UserError: if the clip has sides or a number of frames that the VAE cannot hold.
    """
    side, span = config["spatial_compression_ratio"], config["temporal_compression_ratio"]
    held = held_frames(frames, span=span)
    if height % side or width % side or frames != held:
        raise UserError(
            f"a clip of {width}x{height}x{frames} (width x height x frames) does not fit the video VAE: sides are"
            f" multiples of {side} and frames one more than a multiple of {span}."
            f" {max(width // side, 1) * side}x{max(height // side, 1) * side}x{held} does."
        )
    return config["latent_channels"], (frames - 1) // span + 1, height // side, width // side


@torch.no_grad()
def encode_video(
    vae: Any, pixels: Float[Tensor, " b 3 frames height width"], *, whole_pixels: int = WHOLE_PIXELS
) -> Float[Tensor, " b c f h w"]:
    """Gives normalised latents, fp32 on the CPU; clips are encoded one by one, so that none depends on the others.

    Args:
        vae: from `load_vae`.
        pixels: in [-1, 1]; sides multiples of 32, frames one more than a multiple of 8.
        whole_pixels: frames x height x width up to which a clip is encoded in one piece.

    Raises:
        UserError: if the clips have another shape.
    """
    frames, height, width = pixels.shape[2:]
    latents_shape(vae.config, frames=frames, height=height, width=width)
    with _tiled(vae, (frames, height, width), whole_pixels=whole_pixels):
        raw = [
            vae.encode(clip[None].to(vae.device, torch.float32)).latent_dist.mode().cpu() for clip in pixels
        ]
    mean, std = _statistics(vae)
    return (torch.cat(raw) - mean) * vae.config.scaling_factor / std


@torch.no_grad()
def decode_video(
    vae: Any, latents: Float[Tensor, " b c f h w"], *, whole_pixels: int = WHOLE_PIXELS
) -> Float[Tensor, " b 3 frames height width"]:
    """Gives the pixels in [-1, 1] of normalised latents, fp32 on the CPU, clip by clip.

    Where the memory does not suffice, a clip is decoded in smaller tiles than its size asks for. (Clips are never
    encoded so: their latents would depend on the memory.)

    Raises:
        torch.OutOfMemoryError: if the smallest tiles do not suffice.
    """
    mean, std = _statistics(vae)
    raw = latents.float().cpu() * std / vae.config.scaling_factor + mean
    side, span = vae.config.spatial_compression_ratio, vae.config.temporal_compression_ratio
    f, h, w = latents.shape[2:]
    clip = (f - 1) * span + 1, h * side, w * side
    size = min(whole_pixels, math.prod(clip))
    smaller = (limit for tile in TILES if (limit := clip[0] * tile**2) < size)
    with _tiled(vae, clip, whole_pixels=whole_pixels):
        clips = retried(
            lambda one: vae.decode(one[None].to(vae.device), return_dict=False)[0].clamp(-1, 1).cpu(),
            raw,
            [_in_smaller_tiles(vae, clip, whole_pixels=limit) for limit in smaller],
        )
    return torch.cat(clips)


def video_fingerprint(checkpoint: Checkpoint) -> str:
    """Digests what `encode_video` depends on besides the pixels: the VAE with its statistics, and the tiles."""
    digest = component_digest(checkpoint.weights("vae"), checkpoint.config("vae"))
    settings = {"whole_pixels": WHOLE_PIXELS, "tiles": TILES, "overlap": OVERLAP}
    return digest_of([digest, settings])


@contextlib.contextmanager
def _tiled(vae: Any, clip: tuple[int, int, int], *, whole_pixels: int) -> Iterator[None]:
    """Lets diffusers' VAE work in tiles meanwhile, if a clip of (frames, height, width) is too large for one piece."""
    frames, height, width = clip
    if frames * height * width <= whole_pixels:
        yield
        return
    side = next((side for side in TILES if frames * side * side <= whole_pixels), TILES[-1])
    settings: dict[str, Any] = {"use_tiling": True}
    for axis in ("height", "width"):
        settings |= {f"tile_sample_min_{axis}": side, f"tile_sample_stride_{axis}": side - OVERLAP}
    with altered(vae, **settings):
        yield


@contextlib.contextmanager
def _in_smaller_tiles(vae: Any, clip: tuple[int, int, int], *, whole_pixels: int) -> Iterator[None]:
    say_once(
        "too little memory to decode a clip as its size asks: smaller tiles are used, which change it a little"
    )
    empty_cache(vae.device)
    with _tiled(vae, clip, whole_pixels=whole_pixels):
        yield


def _statistics(vae: Any) -> tuple[Float[Tensor, " c 1 1 1"], Float[Tensor, " c 1 1 1"]]:
    mean, std = (kept.float().cpu().view(-1, 1, 1, 1) for kept in (vae.latents_mean, vae.latents_std))
    return mean, std
