"""Clips: the VAE's convention against diffusers' own helpers, tiles by size, shapes that are refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from loralab.errors import UserError
from loralab.families.ltx_video.encoders.loading import load_vae
from loralab.families.ltx_video.encoders.video import (
    decode_video,
    encode_video,
    latents_shape,
    video_fingerprint,
)
from loralab.families.shared.checkpoint import Checkpoint
from loralab.memory import Placement


@pytest.fixture
def vae(checkpoint: Checkpoint) -> Any:
    return load_vae(checkpoint, Placement(torch.device("cpu"), torch.bfloat16))


def clips(*shape: int) -> torch.Tensor:
    return torch.rand(*shape) * 2 - 1


def test_latents_are_normalised_as_the_pipeline_normalises_them(vae: Any, pipeline: Any) -> None:
    pixels = clips(2, 3, 9, 64, 96)

    latents = encode_video(vae, pixels)

    theirs = pipeline.vae
    with torch.no_grad():
        raw = torch.cat([theirs.encode(clip[None]).latent_dist.mode() for clip in pixels])
    scale = theirs.config.scaling_factor
    expected = pipeline._normalize_latents(raw, theirs.latents_mean, theirs.latents_std, scale)
    assert torch.equal(latents, expected)
    assert latents.shape[1:] == latents_shape(vae.config, frames=9, height=64, width=96) == (8, 2, 2, 3)
    assert latents.dtype == torch.float32


def test_decoding_is_what_the_pipeline_does_after_its_last_step(vae: Any, pipeline: Any) -> None:
    latents, theirs = torch.randn(1, 8, 2, 2, 3), pipeline.vae

    pixels = decode_video(vae, latents)

    raw = pipeline._denormalize_latents(
        latents, theirs.latents_mean, theirs.latents_std, theirs.config.scaling_factor
    )
    with torch.no_grad():
        expected = theirs.decode(raw, None, return_dict=False)[0].clamp(-1, 1)
    assert torch.allclose(pixels, expected, atol=1e-6)  # 1e-6: (latents std / factor) rounds in another order
    assert pixels.shape == (1, 3, 9, 64, 96)


def test_a_clip_does_not_depend_on_what_is_encoded_with_it(vae: Any) -> None:
    pixels = clips(2, 3, 9, 32, 64)

    assert torch.equal(encode_video(vae, pixels)[1:], encode_video(vae, pixels[1:]))


def test_the_first_latent_frame_is_that_of_the_first_picture_alone(vae: Any) -> None:
    pixels = clips(1, 3, 9, 64, 64)

    clip, picture = encode_video(vae, pixels), encode_video(vae, pixels[:, :, :1])

    assert picture.shape == (1, 8, 1, 2, 2)
    assert torch.allclose(clip[:, :, :1], picture, atol=1e-5)


def test_a_large_clip_is_encoded_in_the_tiles_of_diffusers_and_a_small_one_whole(vae: Any) -> None:
    pixels, limit = clips(1, 3, 1, 320, 384), 256 * 256  # at which a tile of one frame has 256 pixels a side

    tiled = encode_video(vae, pixels, whole_pixels=limit)
    small = encode_video(vae, pixels[..., :160, :], whole_pixels=limit)

    assert torch.equal(small, encode_video(vae, pixels[..., :160, :]))  # 160 * 384 is within the limit
    vae.enable_tiling(256, 256, None, 128, 128)
    with torch.no_grad():
        theirs = vae.encode(pixels).latent_dist.mode()
    mean, std = (kept.view(-1, 1, 1, 1) for kept in (vae.latents_mean, vae.latents_std))
    assert torch.allclose(tiled, (theirs - mean) * vae.config.scaling_factor / std, atol=1e-6)


def test_tiles_change_pixels_beside_their_seams_and_are_off_again_afterwards(vae: Any) -> None:
    latents = torch.randn(1, 8, 1, 2, 12)

    tiled = decode_video(vae, latents, whole_pixels=64 * 64)
    whole = decode_video(vae, latents)

    assert tiled.shape == whole.shape == (1, 3, 1, 64, 384)
    assert not torch.allclose(tiled, whole, atol=0.05)
    assert torch.equal(tiled[..., :16], whole[..., :16])
    assert not vae.use_tiling and vae.tile_sample_min_width == 512


def test_where_the_memory_does_not_suffice_a_clip_is_decoded_in_smaller_tiles(
    vae: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents, decode, tiles = torch.randn(2, 8, 1, 2, 18), vae.decode, []

    def short_of_memory(*args: Any, **settings: Any) -> Any:
        tiles.append(vae.use_tiling and vae.tile_sample_min_width)
        if not vae.use_tiling or vae.tile_sample_min_width > 256:
            raise torch.OutOfMemoryError
        return decode(*args, **settings)

    monkeypatch.setattr(vae, "decode", short_of_memory)
    monkeypatch.setattr("loralab.families.ltx_video.encoders.video.TILES", (160, 128))
    clips = decode_video(vae, latents)

    assert clips.shape == (2, 3, 1, 64, 576) and tiles == [False, 160, 160]
    assert not vae.use_tiling


@pytest.mark.parametrize(
    ("shape", "way_out"),
    [((1, 3, 10, 64, 64), "64x64x9"), ((1, 3, 9, 50, 70), "64x32x9"), ((1, 3, 8, 16, 64), "64x32x1")],
)
def test_a_clip_that_does_not_fit_is_refused_with_one_that_does(
    vae: Any, shape: tuple[int, ...], way_out: str
) -> None:
    with pytest.raises(UserError, match=f"does not fit the video VAE.*multiples of 32.*{way_out}"):
        encode_video(vae, torch.zeros(shape))


def test_the_fingerprint_changes_with_the_statistics(checkpoint: Checkpoint, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(checkpoint.location, tmp_path / "copy"))
    other = Checkpoint(str(copy), None, pipeline="LTX2Pipeline")
    assert video_fingerprint(other) == video_fingerprint(checkpoint)

    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    save_file({**(tensors := load_file(weights)), "latents_std": tensors["latents_std"] * 2}, weights)

    assert video_fingerprint(other) != video_fingerprint(checkpoint)
