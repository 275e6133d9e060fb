"""Tokens against diffusers' packing, and the sizes that divide."""

import pytest
import torch

from loralab.errors import UserError
from loralab.families.ltx_video.tokens import (
    Grid,
    grid_of,
    pack_audio,
    pack_video,
    reference_grid,
    require_size,
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


def test_a_wrong_size_is_told_with_all_that_is_wrong_and_the_nearest_right_ones():
    with pytest.raises(UserError) as caught:
        require_size("dataset.buckets", width=770, height=20, num_frames=90)

    assert str(caught.value).splitlines() == [
        "dataset.buckets=770x20x90 is no size for LTX-Video:",
        "  - width 770 is not a multiple of 32; 768 or 800",
        "  - height 20 is not a multiple of 32; 32",
        "  - 90 frames are not a multiple of 8 and one more; 89 or 97",
    ]


def test_a_smaller_and_slower_reference_asks_for_more_of_its_target():
    require_size("size", width=768, height=448, num_frames=97, spatial_factor=2, temporal_factor=4)

    with pytest.raises(
        UserError, match=r"width 736 .* 64 \(32, times 2 .*; 704 or 768\n.*89 frames .*; 65 or 97"
    ):
        require_size("size", width=736, height=448, num_frames=89, spatial_factor=2, temporal_factor=4)
