"""Tokens against diffusers' packing, and how many there are."""

import pytest
import torch

from loralab.families.ltx_video.tokens import (
    Grid,
    grid_of,
    pack_audio,
    pack_video,
    reference_grid,
    unpack_audio,
    unpack_video,
)


def test_latents_become_the_tokens_of_the_pipeline_and_come_back():
    from diffusers import LTX2Pipeline

    video, audio = torch.randn(2, 128, 3, 4, 5), torch.randn(2, 8, 7, 16)

    tokens, sounds = pack_video(video), pack_audio(audio)

    assert torch.equal(tokens, LTX2Pipeline._pack_latents(video))
    assert torch.equal(sounds, LTX2Pipeline._pack_audio_latents(audio))
    assert tokens.shape == (2, 60, 128) and sounds.shape == (2, 7, 128)
    assert torch.equal(unpack_video(tokens, Grid(3, 4, 5)), video)
    assert torch.equal(unpack_audio(sounds), audio)


@pytest.mark.parametrize(
    ("width", "height", "num_frames", "num_tokens"),
    [(768, 448, 89, 4032), (960, 544, 49, 3570), (32, 32, 1, 1)],
)
def test_tokens_are_counted(width, height, num_frames, num_tokens):
    grid = grid_of(width=width, height=height, num_frames=num_frames)

    assert grid.num_tokens == num_tokens


def test_a_reference_of_half_the_sides_and_a_quarter_of_the_frames_has_its_own_grid():
    target = grid_of(width=768, height=448, num_frames=97)

    assert reference_grid(target, spatial_factor=2, temporal_factor=4) == grid_of(
        width=384, height=224, num_frames=25
    )
