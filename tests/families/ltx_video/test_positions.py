"""Positions: those of diffusers for a single clip, and by hand what it has no code for."""

import pytest
import torch
from tests.tiny_ltx import ltx_transformer

from loralab.families.ltx_video.positions import audio_bounds, reference_bounds, video_bounds
from loralab.families.ltx_video.tokens import Grid, reference_grid


def test_bounds_are_those_of_the_network_itself():
    network, grid = ltx_transformer(num_layers=1), Grid(4, 2, 3)

    video = video_bounds(grid, torch.tensor([24.0, 24.0]))
    audio = audio_bounds(9, batch_size=2)

    assert torch.equal(video, network.rope.prepare_video_coords(2, *grid, device="cpu", fps=24.0))
    assert torch.equal(audio, network.audio_rope.prepare_audio_coords(2, 9, device="cpu"))


def test_the_first_frame_and_the_first_sound_are_short_and_clips_keep_their_frame_rates():
    video = video_bounds(Grid(3, 1, 2), torch.tensor([25.0, 50.0]))
    audio = audio_bounds(3, batch_size=1)

    assert video[0, 0, ::2].flatten().tolist() == pytest.approx([0, 0.04, 0.04, 0.36, 0.36, 0.68])
    assert torch.equal(video[1, 0], video[0, 0] / 2)
    assert video[0, 2, :2].tolist() == [[0, 32], [32, 64]]
    assert audio[0, 0].flatten().tolist() == pytest.approx([0, 0.01, 0.01, 0.05, 0.05, 0.09])


def test_a_reference_of_half_the_sides_covers_its_target():
    fps, target = torch.tensor([24.0]), Grid(3, 4, 6)

    whole = video_bounds(target, fps)
    half = reference_bounds(reference_grid(target, spatial_factor=2), fps, spatial_factor=2)

    assert half[0, 1, 0].tolist() == [0, 64] and whole[0, 1, 0].tolist() == [0, 32]
    assert torch.equal(half.amax(dim=(2, 3)), whole.amax(dim=(2, 3)))
    assert torch.equal(half[:, 0].unique(), whole[:, 0].unique())


def test_a_slower_reference_ends_with_its_target_and_starts_at_zero():
    fps, target = torch.tensor([24.0, 30.0]), Grid(9, 1, 1)

    whole = video_bounds(target, fps)
    slow = reference_bounds(reference_grid(target, temporal_factor=4), fps, temporal_factor=4)

    # frames 0, 1 to 32 and 33 to 64 of the target, told in its own seconds
    expected = torch.tensor([[0.0, 1.0], [1.0, 33.0], [33.0, 65.0]])
    torch.testing.assert_close(slow[:, 0], expected / fps[:, None, None], atol=1e-6, rtol=0)
    torch.testing.assert_close(slow[:, 0, -1, 1], whole[:, 0, -1, 1], atol=1e-6, rtol=0)
